"""Looks at an env's reward, termination and success, and at the info they read.

What success is, what ends an episode, and which functions take batches is said by the very
`EnvGoalFunctions` that a run of this env would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from her_exp.envs.doctor.episodes import Episode
from her_exp.envs.doctor.findings import Findings
from her_exp.envs.doctor.goal_call import GoalCall, Seen, pairs_of, share
from her_exp.envs.doctor.rewards import look_at_reward
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.vector.guarded import WatchedEnv
from her_exp.text import one_line
from her_exp.types import KEYS, Array, UserError
from her_exp.values import one_truth, readable

#: Resets that the share of goals met at once is taken from.
RESETS = 100
#: Shares of resets, and of random steps, above which a goal that is met says little.
MOST_AT_RESET, MOST_MET = 0.2, 0.95


class GoalChecks(Seen):
    """Checks of the goal functions on what was seen in some episodes.

    Args:
        env, episodes, found: see `Seen`.
        declared: what the env's configuration declares, as `EnvGoalFunctions` takes it.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        episodes: Sequence[Episode],
        declared: Mapping[str, Any],
        found: Findings,
    ):
        super().__init__(env, episodes, found)
        self.settings, self.declared = declared, declared.get("success_terminates")
        self.run_has: EnvGoalFunctions | None = None

    def run(self) -> None:
        """Look at everything, as far as it carries."""
        if not look_at_reward(self):
            return
        if "compute_terminated" in self.calls:
            self.found.guarded("compute_terminated", self.terminated)
        if not self.found.guarded("goal functions", self.of_a_run):
            return
        for call in self.calls.values():
            self.found.guarded(call.name, partial(self.batched, call))
        if "compute_terminated" not in self.calls:
            self.found.guarded("termination", self.undeclared_end)
        for what, look in (
            ("success", self.success),
            ("info", self.info),
            ("goals at reset", self.resets),
        ):
            self.found.guarded(what, look)

    def of_a_run(self) -> bool:
        """Make what a run of this env would have. False: a run would be refused."""
        reads = self.calls["compute_reward"].read
        keys = [key for key in sorted(reads) if all(key in m.info for m in self.moments)]
        settings = {"info_keys": keys, **self.settings}
        settings["info_keys"] = settings["info_keys"] or keys
        try:
            self.run_has = EnvGoalFunctions(WatchedEnv(self.env, 0), **settings)
        except UserError as error:
            self.found.error("in a run", one_line(str(error)))
            return False
        said = [line for line in self.run_has.sources if line.startswith("reward: ")]
        for line in said:
            self.found.ok("relabelling", line.removeprefix("reward: "))
        return True

    def batched(self, call: GoalCall) -> None:
        """Report whether a run hands one of the env's functions batches."""
        pairs, what = pairs_of(self.moments), f"batched {call.name.removeprefix('compute_')}"
        assert self.run_has is not None
        fault = call.batch_fault(pairs)
        if fault is None and call.name in self.run_has.row_by_row:
            fault = False, "other goals at once give other answers than alone"
        if fault is None:
            self.found.ok(
                what, f"{len(pairs)} distinct goals at once give the answers of each alone"
            )
            return
        mixes, words = fault
        if mixes:
            self.found.error(
                what,
                f"mixes rows: {words}; it is called row by row. Reduce over the goal's own axis only "
                "(axis=-1), and take nothing from the env's state",
            )
        else:
            each = call.seconds_each(pairs)
            self.found.warning(
                what,
                f"no: {words}; it is called row by row, {each * 1e6:.0f} us each, "
                f"{each * 256e3:.1f} ms for 256 relabelled steps. Let it take goals (n, g) and "
                "reduce over axis=-1",
            )

    def terminated(self) -> None:
        """Compare compute_terminated, or what is declared in its place, with what step did."""
        call, moments = self.calls["compute_terminated"], self.moments
        says = np.array([call.one(m.achieved, m.desired, m.info) != 0 for m in moments])
        did = np.array([m.terminated for m in moments])
        if (says & ~did).any():
            self.found.error(
                "compute_terminated",
                f"says yes on {int((says & ~did).sum())} steps that step did not terminate; let "
                "step take its terminated from it",
            )
        elif (did & ~says).any():
            self.fall(int((did & ~says).sum()))
        else:
            self.found.ok("compute_terminated", f"agrees with step ({int(did.sum())} terminations)")

    def fall(self, count: int) -> None:
        """Report ends that the goal does not explain."""
        self.found.warning(
            "termination",
            f"{count} of {len(self.episodes)} episodes terminated although the goal was not met: a "
            "crash or a fall. Such an end stays terminal under every goal; if the goal is behind "
            "it, let compute_terminated say so",
        )

    def undeclared_end(self) -> None:
        """Without compute_terminated: compare what was seen at success with what is declared."""
        told = self.met_on_steps()
        met, missed = told == 1, told == 0
        did = np.array([m.terminated for m in self.moments])
        if (did & missed).any():
            self.fall(int((did & missed).sum()))
        if self.declared and (met & ~did).any():
            self.found.error(
                "termination",
                "env.success_terminates=true, but an episode went on after success: set it false",
            )
        elif not self.declared and (met & did).any() and not (met & ~did).any():
            self.found.error(
                "termination",
                f"{int((met & did).sum())} episodes ended at success, and there is no "
                "compute_terminated: give it, or set env.success_terminates=true",
            )
        elif met.any() and did.any():
            self.found.ok(
                "termination", f"as declared (env.success_terminates={self.declared})".lower()
            )
        else:
            seen = (
                f"success ended none of the {len(self.episodes)} episodes, and nothing else did: other ends, "
                "and the rewards with them, were not seen"
                if met.any()
                else "random actions were not seen to meet a goal"
            )
            self.found.warning(
                "termination",
                f"no compute_terminated, and {seen}; whether success ends an episode is taken from "
                f"env.success_terminates={str(bool(self.declared)).lower()}",
            )

    def info(self) -> None:
        """Say which info fields the goal functions looked up so far."""
        read = set().union(*(call.read for call in self.calls.values()))
        lost = sorted(k for k in read if any(k not in m.info for m in self.moments))
        if lost:
            self.found.warning(
                "info",
                f"the goal functions read {lost}, which not every step's info has: return it with "
                "each step, so that it can be stored (buffer.info_keys)",
            )
        elif read:
            self.found.warning(
                "info",
                f"the goal functions read {sorted(read)}; they are stored with each step where "
                f"buffer.info_keys=[{','.join(sorted(read))}]",
            )
        else:
            self.found.ok("info", "the goal functions read none of it")

    def met(self, achieved: Array, desired: Array, info: Mapping[str, Any]) -> float:
        """Say whether a goal is met, as a run does: 1 or 0, NaN where it cannot know."""
        assert self.run_has is not None
        told = {key: np.array([value]) for key, value in readable("env: info", info).items()}
        if not self.run_has.knows_success(told, 1)[0]:
            return math.nan
        return float(self.run_has.success(achieved[None], desired[None], told)[0])

    def met_on_steps(self) -> Array:
        """Return `met` of each step (n,)."""
        return np.array([self.met(m.achieved, m.desired, m.info) for m in self.moments])

    def remedy(self) -> str:
        """Say what to declare so that success is known without its being told in info."""
        by_reward = (self.settings.get(key) for key in ("reward_range", "success_reward"))
        if "compute_success" not in self.calls and not any(one is not None for one in by_reward):
            return "declare env.reward_range=[lowest, highest]: the highest then means success"
        return "give with each reset and step the info that the goal functions read"

    def success(self) -> None:
        """Say where success comes from, and how often random actions had it."""
        assert self.run_has is not None
        source = self.run_has.sources[0].removeprefix("success: ")
        told = next((k for k in ("is_success", "success") if k in self.moments[0].info), None)
        if call := self.calls.get("compute_success"):
            # Of a goal that moved info may speak too soon.
            still = [m for m in self.moments if told and (m.desired == m.shown).all()]
            said = [one_truth("info has", str(told), m.info[str(told)]) for m in still]
            if said != [bool(call.one(m.achieved, m.desired, m.info)) for m in still]:
                self.found.error("success", f"compute_success and info[{told!r}] of step disagree")
                return
        met = self.met_on_steps()
        if silent := int(np.isnan(met).sum()):
            self.found.warning(
                "success",
                f"from {source}: not told on {silent} of {len(met)} steps, which count as not met; "
                f"{self.remedy()}",
            )
        elif met.mean() > MOST_MET:
            self.found.warning(
                "success",
                f"from {source}; met on {share(met)} of the random steps, so that there is little to "
                "learn: is the tolerance too wide?",
            )
        else:
            self.found.ok("success", f"from {source}; met on {share(met)} of the random steps")

    def resets(self) -> None:
        """Count the episodes whose goal is met before the first action."""
        each = []
        for number in range(RESETS):
            observation, info = self.env.reset(seed=self.episodes[0].seed + number)
            achieved, desired = (np.array(observation[key]) for key in KEYS[1:])
            # At reset info need not say; equal goals count in any case.
            each.append(
                1.0 if np.array_equal(achieved, desired) else self.met(achieved, desired, info)
            )
        met = np.array(each)
        many, silent = share(met == 1), int(np.isnan(met).sum())
        if silent:
            self.found.warning(
                "goals at reset",
                f"cannot be told: the info of {silent} of {RESETS} resets says nothing of success; "
                f"{self.remedy()}",
            )
        elif np.mean(met) > MOST_AT_RESET:
            self.found.warning(
                "goals at reset",
                f"{many} of {RESETS} episodes begin with the goal met: success then says little, "
                "and relabelled goals teach to stay where one is. Draw goals further away",
            )
        else:
            self.found.ok("goals at reset", f"{many} of {RESETS} are met before the first action")
