"""A good goal env, and many like it of which each has one fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


class Walk(gym.Env[Any, Any]):
    """A good goal env: walk on a square to within 0.5 of a goal, which ends the episode."""

    limit = 20

    def __init__(self) -> None:
        keys = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict(dict.fromkeys(keys, BOX))
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.x, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return self.see(), self.tell()

    def see(self) -> dict[str, Any]:
        return {
            "observation": self.x.copy(),
            "achieved_goal": self.x.copy(),
            "desired_goal": self.goal.copy(),
        }

    def tell(self) -> dict[str, Any]:
        return {"is_success": self.compute_success(self.x, self.goal)}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.x = np.clip(self.x + 0.3 * action, -1, 1).astype(np.float32)
        info = self.tell()
        reward = self.compute_reward(self.x, self.goal, info)
        return self.see(), float(reward), self.end(), self.t >= self.limit, info

    def end(self) -> bool:
        return bool(self.compute_terminated(self.x, self.goal, {}))

    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= 0.5

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired) - 1.0

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, desired)


def without(*names: str) -> Callable[[Any, str], Any]:
    """Hide methods, as an env that does not have them."""

    def look(self: Any, name: str) -> Any:
        if name in names:
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    return look


class Plain(Walk):
    """Has compute_reward only, as most goal envs; success is told, and ends nothing."""

    def __getattribute__(self, name: str) -> Any:
        return without("compute_success", "compute_terminated")(self, name)

    def tell(self) -> dict[str, Any]:
        return {"is_success": bool(Walk.compute_success(self, self.x, self.goal))}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return Walk.compute_success(self, achieved, desired) - 1.0

    def end(self) -> bool:
        return False


class EndsUntold(Plain):
    def end(self) -> bool:
        return bool(Walk.compute_success(self, self.x, self.goal))


class SaysNothing(Plain):
    def tell(self) -> dict[str, Any]:
        return {}


class MixesRows(Walk):
    """One row that meets its goal pays for all."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        success = self.compute_success(achieved, desired)
        return np.full(np.shape(success), float(np.any(success))) - 1.0


class NotBatched(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return 0.0 if np.linalg.norm(achieved - desired) <= 0.5 else -1.0


class RaisesOnBatches(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        x, y = achieved - desired
        return 0.0 if np.hypot(x, y) <= 0.5 else -1.0


class NeedsInfo(Walk):
    """The reward has a cost in it, handed on through info; it goes in and comes out batched."""

    def step(self, action: Any) -> Any:
        self.cost = float(np.abs(action).sum())
        return super().step(action)

    def tell(self) -> dict[str, Any]:
        return super().tell() | {"cost": getattr(self, "cost", 0.0)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) - 0.1 * info["cost"]


class NeedsMissingInfo(NeedsInfo):
    def step(self, action: Any) -> Any:
        *others, info = super().step(action)
        del info["cost"]
        return *others, info


class Falls(Walk):
    """Ends at the right edge, whatever the goal."""

    def end(self) -> bool:
        return super().end() or bool(self.x[0] >= 0.99)


class PaysForCrash(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *others = super().step(action)
        return observation, reward - 10.0 * (abs(self.x[0]) >= 0.99), *others


class PaysLate(Walk):
    """Step's reward is of the state before the action."""

    def step(self, action: Any) -> Any:
        before = float(self.compute_reward(self.x, self.goal, {}))
        observation, _, *others = super().step(action)
        return observation, before, *others


class NotRepeatable(Walk):
    noise = np.random.default_rng(0)

    def step(self, action: Any) -> Any:
        return super().step(action + 0.01 * self.noise.normal(size=2))


class ForgetsToEnd(Walk):
    def end(self) -> bool:
        return False


class GoalDtype(Walk):
    def __init__(self) -> None:
        super().__init__()
        goal = spaces.Box(-1.0, 1.0, (2,), np.float64)
        self.observation_space = spaces.Dict({**self.observation_space, "desired_goal": goal})


class ReturnsFloat64(Walk):
    def see(self) -> dict[str, Any]:
        return {key: value.astype(np.float64) for key, value in super().see().items()}


class ReturnsFloatsForIntegers(Walk):
    def __init__(self) -> None:
        super().__init__()
        whole = spaces.Box(-1, 1, (2,), np.int8)
        self.observation_space = spaces.Dict(
            {**self.observation_space.spaces, "observation": whole}
        )


class ReturnsAnotherShape(Walk):
    def see(self) -> dict[str, Any]:
        return super().see() | {"achieved_goal": self.x[:1].copy()}


class LeavesItsSpace(Walk):
    def see(self) -> dict[str, Any]:
        return super().see() | {"observation": 3 * self.x}


class LacksKey(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"observation": BOX, "desired_goal": BOX})


class NoDict(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = BOX


class NoReward(Walk):
    def __getattribute__(self, name: str) -> Any:
        return without("compute_reward")(self, name)

    def step(self, action: Any) -> Any:
        return self.see(), 0.0, False, True, {}


class OddActions(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiDiscrete([3, 3])  # type: ignore[assignment]


class WholeActions(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (2,), np.int64)  # type: ignore[assignment]


class StartsAtGoal(Walk):
    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        if self.np_random.random() < 0.5:
            self.goal = self.x.copy()
        return self.see(), self.tell()

    def compute_success(self, achieved: Any, desired: Any) -> Any:
        return np.linalg.norm(achieved - desired, axis=-1) <= 0.1


class OwnGoal(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.compute_success(achieved, self.goal) - 1.0


class Backwards(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -1.0 * self.compute_success(achieved, desired)


class Disagrees(Walk):
    def tell(self) -> dict[str, Any]:
        return {"is_success": False}


class NotFinite(Walk):
    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return super().compute_reward(achieved, desired, info) + np.nan


class Endless(Walk):
    limit = 10**6

    def end(self) -> bool:
        return False

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return False


class BreaksInStep(Walk):
    def step(self, action: Any) -> Any:
        raise RuntimeError("the simulator is gone\nand more")


class BreaksInTerminated(Walk):
    def end(self) -> bool:
        return False

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        raise ZeroDivisionError


class BreaksInClose(Walk):
    def close(self) -> None:
        raise OSError("no display")
