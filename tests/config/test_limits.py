"""What a setting may be: its interval, the other that bounds it, by constructor and config check alike."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.buffers.weighted import WeightedHindsightBuffer
from her_exp.config.compose import compose
from her_exp.config.signatures import arguments
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.text import written
from her_exp.training.trainer import Trainer
from her_exp.types import UserError
from tests.agents.kit import ddpg

PAIRED = """
from dataclasses import dataclass
from typing import Annotated
from her_exp.agents.ddpg import DDPG
from her_exp.limits import AtMost, NotNegative

@dataclass(kw_only=True, eq=False, repr=False)
class Paired(DDPG):
    near: Annotated[NotNegative | None, AtMost("far", less=True)] = 0.1
    far: float = 0.5
"""


@pytest.mark.parametrize(
    ("near", "far", "wrong"),
    [
        (0.1, 0.5, None),
        (None, 0.5, None),
        (0.5, 0.5, "must be less than {}far=0.5"),
        (0.1, 0.01, "must be less than {}far=0.01"),
        (-1, 0.5, "must be >= 0"),
    ],
)
def test_a_setting_bounded_by_another(
    near: Any, far: Any, wrong: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written once, in a class of one's own too: constructor and config check say the same."""
    (tmp_path / "paired_package.py").write_text(PAIRED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "paired_package", raising=False)
    cls = importlib.import_module("paired_package").Paired
    target = "agent._target_=paired_package.Paired"
    words = [target, f"+agent.near={written(near)}", f"+agent.far={far}"]
    spaces = ddpg().spaces
    if wrong is None:
        validate(compose(words))
        cls(spaces=spaces, near=near, far=far)
        return
    said = re.escape(f"agent.near={near}: {wrong.format('agent.')}")
    with pytest.raises(UserError, match=f"^{said}$"):
        validate(compose(words))
    with pytest.raises(ValueError, match=re.escape(f"Paired: near={near} {wrong.format('')}")):
        cls(spaces=spaces, near=near, far=far)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("seed", [0, 2**32 - 1], [-1, 2**32, float("nan"), float("inf"), True, "4"]),
        ("device", ["cpu", "auto"], ["gpu", "cuda:", 3, None]),
        ("threads", [1], ["two"]),
        ("agent.gamma", [0, 0.99], [1, -0.1, float("nan"), True, "4"]),
        ("agent.tau", [1, 1e-9], [0, 1.1]),
        ("agent.hidden_sizes", [[], [1, 2]], [[0], [1, "a"]]),
        ("agent.grad_clip_norm", [None, 0.5], [0, -1]),
        ("agent.action_l2_on", ["output"], ["outputs"]),
        ("buffer.k", [0, 4, 0.5], [-1, float("nan"), float("inf"), True, "4"]),
        ("buffer.capacity", [2000], [1, 2.5]),
        ("trainer.stop_at", [None, 1.0], [0, 1.01]),
        ("trainer.eval_every", [None, 5], [0, 0.5]),
        ("env.num_envs", [1, 8], [0, 1.5]),
    ],
)
def test_limits_of_settings(key: str, good: list[Any], bad: list[Any]) -> None:
    """Written once: constructor and config check read the same annotation."""
    group, _, name = key.partition(".")
    for value in good:
        validate(compose([f"{key}={written(value)}"]))
    for value in bad:
        with pytest.raises(UserError, match=rf"^{re.escape(key)}="):
            validate(compose([f"{key}={written(value)}"]))
        if group == "agent" and not isinstance(value, bool | str):
            with pytest.raises(ValueError, match=f"DDPG: {name}="):
                ddpg(**{name: value})
    if group == "agent":
        for value in good:
            ddpg(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "bad"),
    [
        (HindsightReplayBuffer, "k", -1), (HindsightReplayBuffer, "capacity", 1),
        (WeightedHindsightBuffer, "met_weight", 0), (WeightedHindsightBuffer, "rare_weight", 0.5),
        (GoalTask, "num_envs", 0), (GoalTask, "timeout", -1.0), (GoalTask, "reward_range", [1, 0]),
        (Trainer, "total_steps", 0), (Trainer, "stop_at", 2.0),
    ],
)  # fmt: skip
def test_constructors_refuse_as_well(cls: type, name: str, bad: Any) -> None:
    """In a notebook, where no config is checked."""
    given: dict[type, dict[str, Any]] = {GoalTask: {"id": "her_exp/PointReach-v0"}}
    rest = dict.fromkeys(arguments(cls).required, None) | given.get(cls, {})
    with pytest.raises(ValueError, match=f"^{cls.__name__}: {name}={re.escape(repr(bad))} "):
        cls(**rest | {"num_envs": 1} | {name: bad} if cls is not Trainer else rest | {name: bad})


@pytest.mark.parametrize("cls", [HindsightReplayBuffer, WeightedHindsightBuffer])
def test_a_buffer_holds_two_rows_a_lane(cls: type) -> None:
    rest = dict.fromkeys(arguments(HindsightReplayBuffer).required, None)
    with pytest.raises(ValueError, match=r"capacity=15 must be at least 2 \* num_envs = 16$"):
        cls(**rest | {"num_envs": 8, "capacity": 15})
