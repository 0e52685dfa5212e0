"""BitFlip (Andrychowicz et al. 2017): turn random bits into other random bits, one flip a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from her_exp.envs.vector.shells import SingleGoalEnv, VectorGoalEnv
from her_exp.envs.vector.task import BatchedTask, State, View, require, require_count
from her_exp.types import Array, Observation


class BitFlip(BatchedTask):
    """Start and goal are uniform; `n_bits` steps at most. A step that ends in a match terminates.

    The observation and the achieved goal are the bits (n_bits,) int8. A start that equals its goal
    ends nothing: the episode goes on until a step ends in a match.

    Args:
        n_bits: bits, actions and steps of an episode.
        continuous: the action is in [-1, 1]^n_bits, and each bit whose action is > 0 is flipped;
            else the action is the number of the bit to flip.

    Raises:
        ValueError: an argument is out of its range.
    """

    success_terminates = True

    def __init__(self, n_bits: int = 15, continuous: bool = False):
        self.n_bits = self.max_steps = require_count("n_bits", n_bits)
        require(
            n_bits <= 10**6, "n_bits", n_bits, "at most 1000000"
        )  # of more the spaces alone fill a memory
        boolean = isinstance(continuous, bool | np.bool_)
        require(boolean, "continuous", continuous, "true or false")
        self.continuous = bool(continuous)
        keys = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict({key: spaces.MultiBinary(n_bits) for key in keys})
        self.action_space = (
            spaces.Box(-1.0, 1.0, (n_bits,), np.float32) if continuous else spaces.Discrete(n_bits)
        )

    def allocate(self, n: int) -> State:
        """Return bits and goal, (n, n_bits) int8 each."""
        return {name: np.zeros((n, self.n_bits), np.int8) for name in ("bits", "goal")}

    def draw(self, rng: np.random.Generator) -> Array:
        """Return (2 * n_bits,) int8 of 0 and 1: start and goal."""
        return rng.integers(0, 2, 2 * self.n_bits, np.int8)

    def place(self, state: State, lanes: Array, draws: Array) -> None:
        """Start and goal as drawn."""
        state["bits"][lanes] = draws[:, : self.n_bits]
        state["goal"][lanes] = draws[:, self.n_bits :]

    def advance(self, state: State, actions: Array) -> None:
        """Flip one bit a lane, or all those whose action is above 0."""
        bits = state["bits"]
        if self.continuous:
            bits ^= actions > 0.0
        else:
            bits[np.arange(len(bits)), actions] ^= 1

    def observe(self, state: State) -> Observation:
        """Return the bits, twice, and the goal."""
        return {
            "observation": state["bits"].copy(),
            "achieved_goal": state["bits"].copy(),
            "desired_goal": state["goal"].copy(),
        }

    def compute_success(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Say which goals are matched bit by bit: bool (...)."""
        same = np.equal(achieved_goal, desired_goal).all(axis=-1)
        return same if np.ndim(same) else bool(same)

    def picture(self, view: View) -> Array:
        """Return the bits above the goal's, matches green."""
        from her_exp.envs.tasks.drawing import draw_bits  # Pillow is only needed by those who draw

        return draw_bits(view)


class BitFlipEnv(SingleGoalEnv):
    """BitFlip as a single env; takes the arguments of `BitFlip`."""

    task_class = BitFlip


class BitFlipVectorEnv(VectorGoalEnv):
    """BitFlip as a vector env; takes `num_envs` and the arguments of `BitFlip`."""

    task_class = BitFlip
