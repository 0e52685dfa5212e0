"""The four slots of a configuration: what each is made of, what the run hands it, what it asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from her_exp import types
from her_exp.limits import Level


class Part(NamedTuple):
    """A slot."""

    base: str  #: the class that ours in this slot descend from
    runtime: frozenset[str]  #: arguments that the run gives it, never the configuration
    protocol: str | None  #: what a class of one's own derives from
    asked: tuple[str, ...]  #: what the run asks of its class


def _methods(protocol: type) -> tuple[str, ...]:
    return tuple(
        name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"
    )


#: Nodes within a slot that may be classes of ours, what these descend from, and how many arguments they are
#: given when they are called, in order: the node makes as many as are needed.
NESTED = {"agent.network": ("torch.nn.Module", 2)}
#: Nodes within a slot that are made with it, and the class of ours that each may be.
WITHIN = {"buffer.strategy": "her_exp.buffers.goals.Geometric"}
#: Settings of a slot that are not its class's, whichever it is: the run reads them itself.
BESIDE: dict[str, dict[str, Any]] = {
    "buffer": {"demonstrations": str | None, "demonstration_share": Level}
}
#: Lists of such nodes within a slot, and the class of ours that each is to descend from.
LISTED = {"trainer.sinks": "her_exp.training.sinks.Sink"}


def ready(slot: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a slot's class takes of its node, with nested ones made to be called later."""
    inner = {key.partition(".")[2] for key in NESTED if key.startswith(f"{slot}.")}
    return {
        name: {**value, "_partial_": True}
        if name in inner and isinstance(value, Mapping)
        else value
        for name, value in node.items()
        if name not in BESIDE.get(slot, ())
    }


PARTS = {
    "env": Part(
        "her_exp.envs.make.GoalTask",
        frozenset(),
        "her_exp.envs.make.GoalTask",
        ("make", "make_single", "spaces", "episode_steps", "goal_functions", "endless"),
    ),
    "buffer": Part(
        "her_exp.buffers.hindsight.HindsightReplayBuffer",
        frozenset({"spaces", "goal_functions", "num_envs", "generator", "reward_range", "device"}),
        "her_exp.types.Buffer",
        _methods(types.Buffer),
    ),
    "agent": Part(
        "her_exp.agents.base.GoalAgent",
        frozenset({"spaces", "reward_range", "seed", "device"}),
        "her_exp.types.Agent",
        _methods(types.Agent),
    ),
    "trainer": Part(
        "her_exp.training.trainer.Trainer",
        frozenset({
            "env", "eval_env", "goal_functions", "buffer", "agent", "logger", "env_seed", "eval_seed",
            "hparams",
        }),
        None,
        ("fit", "load_state_dict"),
    ),
}  # fmt: skip
