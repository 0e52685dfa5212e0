"""Says in words what is wrong with a goal env for Hindsight Experience Replay, and what to change.

It plays a few episodes with random actions and asks the env's goal functions about what was
reached. Nothing that an env raises gets through: it becomes a finding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from her_exp.envs.doctor.episodes import STEP_LIMIT, Episode, play
from her_exp.envs.doctor.findings import Finding, Findings, words_of
from her_exp.envs.doctor.goal_functions import GoalChecks
from her_exp.system.foreign import foreign_code
from her_exp.types import KEYS, action_fault

__all__ = ["Finding", "check_goal_env"]

#: Warnings of Gymnasium that repeat a finding: how they go on after "WARN: The".
_GYMNASIUM_SAYS = (
    "obs returned by .*(numpy array dtype|not within)",
    "(observations|infos) returned by .* share",
    "reward is an? (NaN|inf) value",
)


def check_goal_env(
    make_env: Callable[[], gym.Env[Any, Any]],
    *,
    episodes: int = 3,
    seed: int = 0,
    **declared: Any,
) -> list[Finding]:
    """Check a goal env.

    Args:
        make_env: makes it; called once, the env is closed at the end.
        episodes: how many to play with random actions.
        seed: of the first episode; the next ones take those that follow.
        **declared: what its configuration declares (reward_range, success_terminates, goal_distance,
            success_reward, info_keys), as `EnvGoalFunctions` takes it.

    Returns:
        The findings in the order in which they were made. Never raises for what the env does.
    """
    found = Findings()
    with warnings.catch_warnings():
        for what in _GYMNASIUM_SAYS:
            warnings.filterwarnings("ignore", f".*WARN: The {what}")
        _look(make_env, found, episodes, seed, declared)
    return found


def _look(
    make_env: Callable[[], gym.Env[Any, Any]],
    found: Findings,
    episodes: int,
    seed: int,
    declared: Mapping[str, Any],
) -> None:
    try:
        with foreign_code():
            env = make_env()
    except Exception as error:
        found.error("making it", f"raises {words_of(error)}")
        return
    check = _Check(env, found, episodes, seed)
    try:
        if check.run():
            found.guarded(
                "goal functions",
                lambda: GoalChecks(env, check.episodes, declared, found).run(),
            )
    finally:
        found.guarded("closing it", env.close)


class _Check:
    """Looks at what a goal env shows of itself: spaces, observations, its answer to a seed."""

    def __init__(self, env: gym.Env[Any, Any], found: Findings, episodes: int, seed: int):
        self.env, self.found, self.count, self.seed = env, found, episodes, seed
        self.episodes: list[Episode] = []

    def run(self) -> bool:
        """Look at everything; False where there is no sense in going on."""
        if not (
            self.found.guarded("spaces", self.spaces)
            and self.found.guarded("playing it", self.play)
        ):
            return False
        self.reused()
        self.found.guarded("repeatable", self.repeatable)
        self.found.guarded("goal", self.moving_goal)
        return self.found.guarded("observations", self.observations)

    def spaces(self) -> bool:
        """See whether the spaces are those of a goal env."""
        fault = _space_fault(self.env)
        if fault:
            self.found.error("spaces", fault)
            return False
        space = self.env.observation_space
        assert isinstance(space, spaces.Dict)
        observation, goal = space["observation"], space["achieved_goal"]
        self.found.ok(
            "spaces",
            f"observation {observation.shape} {observation.dtype}, goal {goal.shape} {goal.dtype}, "
            f"action {self.env.action_space}",
        )
        return True

    def play(self) -> None:
        """Play the episodes that everything else looks at."""
        for number in range(self.count):
            self.episodes.append(play(self.env, self.seed + number))
        endless = sum(not episode.ended for episode in self.episodes)
        lengths = [len(episode.moments) for episode in self.episodes]
        if endless:
            self.found.warning(
                "episodes",
                f"{endless} of {self.count} did not end within {STEP_LIMIT} steps; "
                "is there a time limit (max_episode_steps)?",
            )
        else:
            said = f"{self.count} with random actions, of {lengths} steps"
            if not any(m.terminated for episode in self.episodes for m in episode.moments):
                said += "; none terminated: what an end is like, and its reward, was not seen"
            self.found.ok("episodes", said)

    def reused(self) -> None:
        """Say what the env gives again in the memory of the step before."""
        if names := sorted(set().union(*(episode.reused for episode in self.episodes))):
            self.found.ok(
                "reused arrays",
                f"step gives the very arrays again that it gave before ({', '.join(names)}): no harm "
                "here, where all is copied at once; elsewhere what is kept would change",
            )

    def moving_goal(self) -> None:
        """Say whether the goal changes within an episode, and by which each step is judged then."""
        moments = [moment for episode in self.episodes for moment in episode.moments]
        moved = np.mean([(m.desired != m.shown).any() for m in moments])
        if moved:
            self.found.ok(
                "goal",
                f"changes on {100 * moved:.3g} % of the steps, within episodes: each step is judged by the "
                "goal that its action was chosen for",
            )

    def observations(self) -> bool:
        """Compare what came with the spaces. False: its shape is another one."""
        space = self.env.observation_space
        assert isinstance(space, spaces.Dict)
        seen = [observation for e in self.episodes for observation in e.observations]
        before = len(self.found)
        for key in KEYS:
            wanted = space[key]
            values = [observation[key] for observation in seen]
            shapes = {value.shape for value in values} - {wanted.shape}
            dtypes = {value.dtype for value in values} - {wanted.dtype}
            outside = [value for value in values if value not in wanted]
            if shapes:
                self.found.error(
                    "observations", f"{key} comes as {shapes.pop()}, its space says {wanted.shape}"
                )
                return False
            lossy = [
                one for one in dtypes if not np.can_cast(one, np.dtype(wanted.dtype), "same_kind")
            ]
            if lossy:
                self.found.error(
                    "observations",
                    f"{key} comes as {lossy[0]}, its space says {wanted.dtype}, which cannot hold it: a run "
                    "refuses it",
                )
            elif dtypes:
                self.found.warning(
                    "observations",
                    f"{key} comes as {dtypes.pop()}, its space says {wanted.dtype}: vector envs "
                    "cast it, a reward of step may then differ in the last digits",
                )
            elif outside:
                self.found.warning(
                    "observations",
                    f"{key} leaves its space in {len(outside)} of {len(seen)} observations, e.g. "
                    f"{np.array2string(outside[0], precision=4, threshold=8)}; widen the space",
                )
        if len({observation["achieved_goal"].tobytes() for observation in seen}) == 1:
            self.found.warning(
                "observations",
                "achieved_goal never changed with random actions: hindsight has one goal to offer",
            )
        if len(self.found) == before:
            self.found.ok("observations", f"all {len(seen)} lie in their spaces")
        return True

    def repeatable(self) -> None:
        """Play them again with the same seeds and actions."""
        for episode in self.episodes:
            again = play(self.env, episode.seed, episode.actions)
            differs = _first_difference(episode, again)
            if differs is not None:
                self.found.warning(
                    "repeatable",
                    f"no: after reset(seed={episode.seed}) the same actions give another {differs}, so "
                    "runs cannot be repeated or resumed exactly. Draw from self.np_random only, "
                    "and set everything anew in reset",
                )
                return
        self.found.ok("repeatable", "yes: the same seed and actions give the same episode")


def _space_fault(env: gym.Env[Any, Any]) -> str | None:
    """Say in words what is wrong with the spaces."""
    space = env.observation_space
    if not isinstance(space, spaces.Dict):
        return f"observation_space is a {type(space).__name__}; make it a Dict of {', '.join(KEYS)}"
    missing = [key for key in KEYS if key not in space.spaces]
    if missing:
        return f"observation_space lacks {', '.join(missing)}; a goal env has {', '.join(KEYS)}"
    achieved, desired = space["achieved_goal"], space["desired_goal"]
    if (achieved.shape, achieved.dtype) != (desired.shape, desired.dtype):
        return (
            f"achieved_goal is {achieved.dtype} {achieved.shape}, desired_goal {desired.dtype} "
            f"{desired.shape}; one takes the other's place, so give both one shape and dtype"
        )
    return action_fault(env.action_space)


def _first_difference(one: Episode, other: Episode) -> str | None:
    """Name what differs first between two plays, and when; None if nothing does."""
    for t, (a, b) in enumerate(zip(one.observations, other.observations, strict=False)):
        for key in KEYS:
            if not np.array_equal(a[key], b[key], equal_nan=a[key].dtype.kind == "f"):
                return f"{key} at step {t}" if t else f"{key} at the reset"
    if len(one.moments) != len(other.moments):
        return f"end (after {len(one.moments)} and {len(other.moments)} steps)"
    for t, (m, n) in enumerate(zip(one.moments, other.moments, strict=True), start=1):
        if m.reward != n.reward:
            return f"reward at step {t}"
        if (m.terminated, m.truncated) != (n.terminated, n.truncated):
            return f"end at step {t}"
    return None
