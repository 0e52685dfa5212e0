"""Looks at an env's reward, termination and success, and at the info they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from her_exp.envs.doctor.episodes import Episode, MissingInfo
from her_exp.envs.doctor.findings import Findings
from her_exp.envs.doctor.goal_call import TOLERANCE, GoalCall, pairs_of
from her_exp.types import KEYS, Array
from her_exp.values import one_truth

#: Resets that the share of goals met at once is taken from.
RESETS = 100


class GoalChecks:
    """Checks of the goal functions on what was seen in some episodes.

    Args:
        env: stands wherever an episode left it.
        episodes: played with random actions.
        declared: `success_terminates` of the env's configuration.
        found: the findings go here.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        episodes: Sequence[Episode],
        declared: bool | None,
        found: Findings,
    ):
        self.env, self.episodes, self.declared, self.found = env, episodes, declared, found
        self.moments = [moment for episode in episodes for moment in episode.moments]
        self.calls = {
            name: GoalCall(name, env.get_wrapper_attr(name))
            for name in ("compute_reward", "compute_terminated", "compute_success")
            if env.has_wrapper_attr(name)
        }

    def run(self) -> None:
        """Look at everything, as far as the reward carries."""
        if "compute_reward" not in self.calls:
            self.found.error(
                "compute_reward",
                "is missing: give the env compute_reward(achieved_goal, desired_goal, info), and "
                "let step use it; without it no other goal can be tried on a step",
            )
            return
        if not self.found.guarded("compute_reward", self.reward):
            return
        for what, look in (
            ("hindsight", self.hindsight),
            ("compute_terminated", self.terminated),
            ("success", self.success),
            ("info", self.info),
            ("goals at reset", self.resets),
        ):
            self.found.guarded(what, look)

    def reward(self) -> bool:
        """Compare compute_reward with step's reward. False: there is nothing to go on from."""
        call, moments = self.calls["compute_reward"], self.moments
        stored = np.array([float(m.reward) + 0.0 for m in moments])
        computed = np.array([call.one(m.achieved, m.desired, m.info) for m in moments])
        if not (np.isfinite(stored).all() and np.isfinite(computed).all()):
            self.found.error("compute_reward", "gives a reward that is not finite")
            return False
        self.batched(call)
        differ = ~np.isclose(stored, computed, TOLERANCE, TOLERANCE)
        if differ.any():
            self.unexplained(stored, computed, differ)
        else:
            values = ", ".join(f"{value:g}" for value in np.unique(stored)[:4])
            more = ", ..." if len(np.unique(stored)) > 4 else ""
            self.found.ok(
                "reward of step",
                f"equals compute_reward on {len(stored)} steps (seen: {values}{more})",
            )
        return True

    def unexplained(self, stored: Array, computed: Array, differ: Array) -> None:
        """Report a part of step's reward that compute_reward does not give."""
        call, moments = self.calls["compute_reward"], self.moments
        before = np.array([call.one(m.before, m.desired, m.info) for m in moments])
        if np.allclose(stored, before, TOLERANCE, TOLERANCE):
            self.found.error(
                "reward of step",
                "is compute_reward of the goal achieved before the action; pay for what was "
                "achieved after it",
            )
            return
        shown = np.array([call.one(m.achieved, m.shown, m.info) for m in moments])
        if np.allclose(stored[differ], shown[differ], TOLERANCE, TOLERANCE):
            self.found.warning(
                "reward of step",
                f"is that of the next goal, not shown yet, on {_share(differ)} of the steps: they are "
                "counted for the goal that was asked for",
            )
            return
        rest = (stored - computed)[differ]
        size = f"{rest[0]:g}" if np.ptp(rest) < TOLERANCE else f"{rest.min():g} to {rest.max():g}"
        self.found.warning(
            "reward of step",
            f"differs from compute_reward on {_share(differ)} of the steps, by {size}: a part that "
            "no goal explains, such as a crash penalty. It is kept and added after relabelling; if "
            "it does depend on the goal, move it into compute_reward",
        )

    def batched(self, call: GoalCall) -> None:
        """Report whether one of the env's functions takes batches."""
        pairs, what = pairs_of(self.moments), f"batched {call.name.removeprefix('compute_')}"
        fault = call.batch_fault(pairs)
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

    def hindsight(self) -> None:
        """See whether a goal that is met pays more, and whether the goal handed in counts at all."""
        call, pairs = self.calls["compute_reward"], pairs_of(self.moments)
        own = np.array([call.one(p.achieved, p.achieved, p.info) for p in pairs])
        other = np.array([call.one(p.achieved, p.desired, p.info) for p in pairs])
        worse = own < other - TOLERANCE
        if worse.any():
            i = int(np.argmax(other - own))
            self.found.warning(
                "hindsight",
                f"a goal that is met just so can pay less ({own[i]:g}) than another ({other[i]:g}): "
                "relabelling with what was achieved teaches little then",
            )
        elif (own <= other + TOLERANCE).all():
            self.found.warning(
                "hindsight",
                f"no reward depends on the goal that is handed in ({other.min():g} to "
                f"{other.max():g}, met or not); does compute_reward read the env's own goal?",
            )
        else:
            self.found.ok(
                "hindsight",
                f"a goal that is met pays {own.max():g}, the least else {other.min():g}",
            )

    def terminated(self) -> None:
        """Compare compute_terminated, or what is declared in its place, with what step did."""
        call = self.calls.get("compute_terminated")
        if call is None:
            self.undeclared_end()
            return
        moments = self.moments
        says = np.array([call.one(m.achieved, m.desired, m.info) != 0 for m in moments])
        did = np.array([m.terminated for m in moments])
        self.batched(call)
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
        met = np.array([self.met(m.achieved, m.desired, m.info) for m in self.moments])
        did = np.array([m.terminated for m in self.moments])
        if (did & ~met).any():
            self.fall(int((did & ~met).sum()))
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
        elif met.any():
            self.found.ok(
                "termination", f"as declared (env.success_terminates={self.declared})".lower()
            )
        else:
            self.found.warning(
                "termination",
                "no compute_terminated, and random actions met no goal: whether success ends an "
                f"episode is taken from env.success_terminates={str(bool(self.declared)).lower()}",
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

    def met(self, achieved: Array, desired: Array, info: dict[str, Any]) -> bool:
        """Say whether a goal is met, by the best source that the env offers."""
        if call := self.calls.get("compute_success"):
            return bool(call.one(achieved, desired, info))
        if key := next((key for key in ("is_success", "success") if key in info), None):
            return one_truth("info has", key, info[key])
        reward = self.calls["compute_reward"]
        best = reward.one(achieved, achieved, info)
        return reward.one(achieved, desired, info) >= best - TOLERANCE

    def success(self) -> None:
        """Say where success comes from, and how often random actions had it."""
        told = next((k for k in ("is_success", "success") if k in self.moments[0].info), None)
        met = np.array([self.met(m.achieved, m.desired, m.info) for m in self.moments])
        seen = f"met on {_share(met)} of the random steps"
        if call := self.calls.get("compute_success"):
            self.batched(call)
            # Of a goal that moved info may speak too soon.
            still = [m for m in self.moments if told and (m.desired == m.shown).all()]
            said = [one_truth("info has", str(told), m.info[str(told)]) for m in still]
            if said != [bool(call.one(m.achieved, m.desired, m.info)) for m in still]:
                self.found.error("success", f"compute_success and info[{told!r}] of step disagree")
            else:
                self.found.ok("success", f"from compute_success; {seen}")
        elif told:
            self.found.ok("success", f"from info[{told!r}] of the step; {seen}")
        else:
            self.found.warning(
                "success",
                "neither compute_success nor info['is_success']: the highest reward counts as "
                f"success, so declare env.reward_range; {seen}",
            )

    def resets(self) -> None:
        """Count the episodes whose goal is met before the first action."""
        met = []
        for number in range(RESETS):
            observation, info = self.env.reset(seed=self.episodes[0].seed + number)
            achieved, desired = (np.array(observation[key]) for key in KEYS[1:])
            # At reset info need not have what the functions read; equal goals count in any case.
            try:
                known = self.met(achieved, desired, info)
            except MissingInfo:
                known = False
            met.append(known or np.array_equal(achieved, desired))
        share = _share(np.array(met))
        if np.mean(met) > 0.2:
            self.found.warning(
                "goals at reset",
                f"{share} of {RESETS} episodes begin with the goal met: success then says little, "
                "and relabelled goals teach to stay where one is. Draw goals further away",
            )
        else:
            self.found.ok("goals at reset", f"{share} of {RESETS} are met before the first action")


def _share(found: Array) -> str:
    return f"{100 * np.mean(found):.3g} %"
