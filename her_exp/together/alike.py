"""Which jobs of a sweep can learn as one: they differ in numbers, or in what is each one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from her_exp.agents.base import GoalAgent
from her_exp.config.rules import goal_spaces
from her_exp.config.signatures import find_class
from her_exp.system.machine import machine_bytes

#: Settings of the trainer that make no two members learn at different times.
_TIMES = ("batch_size", "updates_per_step", "learn_every", "learning_starts")
#: What a group does for an agent: one that does it in its own way runs alone.
_DONE_FOR_IT = ("act", "output", "update", "update_all", "learned", "_apply")


def groups(configs: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the numbers of the jobs that learn as one; one that cannot is a group of its own.

    Buffers, episodes and schedules are each member's own, so those settings may differ; the task, the agent's
    class and what shapes its networks and losses may not.
    """
    found: dict[str, list[int]] = {}
    for number, cfg in enumerate(configs):
        key = str(number) if alone(cfg) else json.dumps(_shared(cfg), sort_keys=True, default=str)
        found.setdefault(key, []).append(number)
    return list(found.values())


def alone(cfg: Mapping[str, Any]) -> str | None:
    """Say why a job cannot learn with others, or None."""
    kind = find_class("agent", str(cfg["agent"]["_target_"]))
    if not (isinstance(kind, type) and issubclass(kind, GoalAgent)):
        return "agent: is no her_exp.agents.base.GoalAgent"
    own = [name for name in _DONE_FOR_IT if getattr(kind, name) is not getattr(GoalAgent, name)]
    if own:
        return f"agent: {kind.__name__} has a {own[0]} of its own"
    if cfg.get("buffer", {}).get("demonstrations") is not None:
        return "buffer.demonstrations"
    if cfg["agent"].get("precision") == "bfloat16":
        return "agent.precision=bfloat16"
    return None


def _shared(cfg: Mapping[str, Any]) -> dict[str, Any]:
    agent: dict[str, Any] = dict(cfg["agent"])
    kind: Any = find_class("agent", str(agent["_target_"]))
    rates = [name for name in agent if name == "lr" or name.endswith("_lr")]
    for name in (*kind.tunable, *kind.apart, *rates):
        if isinstance(agent.get(name), int | float) and not isinstance(agent[name], bool):
            agent[name] = "a number" if agent[name] or name not in kind.switches else "off"
    trainer = {name: cfg["trainer"].get(name) for name in _TIMES}
    rest = {key: cfg[key] for key in ("env", "device", "threads", "products")}
    return rest | {"agent": agent, "trainer": trainer}


def complaints(configs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what keeps a sweep from running in one program, a line each."""
    if any(cfg["env"].get("backend") == "async" for cfg in configs):
        yield (
            "env.backend=async: hydra/launcher=batched steps all envs in one process; take another "
            "backend, or hydra/launcher=local"
        )
        return
    there = machine_bytes()
    for numbers in groups(configs):
        need = sum(_bytes(configs[number]) for number in numbers)
        if need > there:
            yield (
                f"hydra/launcher=batched: the buffers of {len(numbers)} jobs take {need / 1e9:,.0f} GB at "
                f"least, this machine has {there / 1e9:,.0f} GB; give a smaller buffer.capacity"
            )


def _bytes(cfg: Mapping[str, Any]) -> int:
    capacity, lanes = cfg["buffer"].get("capacity"), cfg["env"].get("num_envs")
    if capacity is None or lanes is None:
        return 0
    kind: Any = find_class("buffer", cfg["buffer"]["_target_"])
    return int(kind.nbytes(goal_spaces(cfg["env"]), capacity, lanes))
