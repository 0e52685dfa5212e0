"""Evaluation apart from training: own env, own seeds, the same goals each time, no exploration."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from her_exp.training.rollout import Episode, Rollout, met_at_reset
from her_exp.types import Array, GoalFunctions, Step, UserError

#: Steps after which an episode is taken to have no end.
_LONGEST = 100_000


class Acts(Protocol):
    """What is asked of a policy."""

    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Choose an action for each lane, as `Agent.act` does."""


@dataclass
class Evaluation:
    """What a policy does without exploration.

    Attributes:
        episodes: the episodes played, lane after lane.
        paths: achieved goals (T + 1, goal_dim) of the first episodes, where asked for.
        goals: the desired goal of each path.
        path_success: whether each path ended in success.
        radius: distance within which a goal is met, in units of the goal; None: not known, or the
            task is none of distance.
    """

    episodes: list[Episode]
    paths: list[Array] = field(default_factory=list)
    goals: list[Array] = field(default_factory=list)
    path_success: list[bool] = field(default_factory=list)
    radius: float | None = None

    def mean(self, name: str) -> float:
        """Mean of a field of the episodes."""
        return float(np.mean([getattr(episode, name) for episode in self.episodes]))

    def summary(self) -> dict[str, Any]:
        """The numbers of `result.json`: success with its 95 % Wilson interval, return, length, n.

        None where nothing tells it.
        """
        wins = sum(episode.success_final for episode in self.episodes)
        return {
            "success_final": self.mean("success_final"),
            "success_any": self.mean("success_any"),
            "return": self.mean("total_reward"),
            "length": self.mean("length"),
            "final_distance": self.mean("final_distance"),
            "met_at_reset": met_at_reset(self.episodes),
            "episodes": len(self.episodes),
            "interval": list(wilson_interval(wins, len(self.episodes))),
        }


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a success rate (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def shares(episodes: int, lanes: int) -> list[int]:
    """Episodes that each lane plays; fixed beforehand, since the first n to finish would be short ones."""
    return [episodes // lanes + (lane < episodes % lanes) for lane in range(lanes)]


def evaluate(
    env: VectorEnv,
    functions: GoalFunctions,
    agent: Acts,
    episodes: int,
    seed: int,
    paths: int = 0,
    before_step: Callable[[], None] = lambda: None,
    see: Callable[[Step, Collection[int]], None] | None = None,
) -> Evaluation:
    """Play `episodes` episodes without exploration and return what happened.

    Args:
        env: a vector env that training does not use.
        functions: the goal functions of that env.
        agent: its normaliser and generators are left as they are.
        episodes: in all; lane i plays its fixed share.
        seed: of lane 0; lane i has seed + i. The same seed gives the same starts and goals.
        paths: keep the path of the first episode of this many lanes.
        before_step: called before each step; what it raises ends the evaluation.
        see: told each step, and the lanes whose episode ends with it and counts.
    """
    rollout = Rollout(env, functions)
    due = np.array(shares(episodes, env.num_envs))
    first = rollout.reset(seed)
    kept = min(paths, int((due > 0).sum()))
    tracks = [[first["achieved_goal"][lane].copy()] for lane in range(kept)]
    goals = [first["desired_goal"][lane].copy() for lane in range(kept)]
    open_tracks = set(range(kept))
    success = [False] * kept
    done: list[list[Episode]] = [[] for _ in range(env.num_envs)]
    steps = 0
    while due.any():
        before_step()
        steps += 1
        if steps > _LONGEST * int(max(shares(episodes, env.num_envs))):
            raise UserError(
                f"evaluation: episodes of more than {_LONGEST} steps; give the env a time limit, e.g. "
                "+env.max_episode_steps=200"
            )
        step, ended = rollout.step(lambda o, g: agent.act(o, g, explore=False))
        if see is not None:
            see(step, [episode.lane for episode in ended if due[episode.lane]])
        for lane in open_tracks:
            tracks[lane].append(step.next_observation["achieved_goal"][lane].copy())
        for episode in ended:
            if episode.lane in open_tracks:
                open_tracks.discard(episode.lane)
                success[episode.lane] = episode.success_final
                # What the end is judged by: the goal may have changed on the way.
                goals[episode.lane] = step.observation["desired_goal"][episode.lane].copy()
            if due[episode.lane]:
                due[episode.lane] -= 1
                done[episode.lane].append(episode)
    return Evaluation(
        [episode for lane in done for episode in lane],
        [np.stack(track) for track in tracks],
        goals,
        success,
        functions.distance.threshold if functions.distance else None,
    )


def describe(summary: dict[str, Any]) -> str:
    """One line for people."""
    low, high = summary["interval"]
    return (
        f"success {summary['success_final']:.1%} at the last step (95 % interval {low:.1%} to "
        f"{high:.1%}, n={summary['episodes']}), {summary['success_any']:.1%} at any step, "
        f"return {summary['return']:.3f}, length {summary['length']:.2f}"
    )


def pooled(summaries: Sequence[dict[str, Any]]) -> tuple[float, tuple[float, float]]:
    """Return success and interval over several evaluations taken together."""
    n = sum(s["episodes"] for s in summaries)
    wins = sum(round(s["success_final"] * s["episodes"]) for s in summaries)
    return wins / n, wilson_interval(wins, n)
