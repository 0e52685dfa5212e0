"""Rules between the parts of a configuration: fields that contradict each other, agent and env."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from her_exp.config.parts import ready
from her_exp.config.signatures import find_class
from her_exp.data.minari_set import MinariSet
from her_exp.limits import complaint, return_complaint, rows_complaint
from her_exp.system.foreign import foreign_code, reason_of
from her_exp.system.machine import machine_bytes
from her_exp.text import one_line, shortened
from her_exp.types import GoalSpaces, UserError

#: Characters of a value that a line repeats, at most.
_LONGEST = 120

#: Of each env asked for: its spaces, the steps of an episode at most, None where unknown, and its id.
_envs: dict[str, tuple[GoalSpaces, int | None, str] | UserError] = {}
#: Of each set of demonstrations asked for, with what it is for: what is wrong with it.
_sets: dict[str, str | None] = {}
_SLACK = 1e-6  # by which a reward may be rounded


def value_line(key: str, value: Any, wrong: str) -> tuple[str, str]:
    """Word a problem of one key, with the value as it would be written on the command line."""
    words = {"None": "null", "True": "true", "False": "false"}
    text = one_line(str(value))
    text = shortened(text, _LONGEST)
    return key, f"{key}={text if isinstance(value, str) else words.get(text, text)}: {wrong}"


def between(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Check fields of different parts that contradict each other."""

    def number(group: str, name: str) -> float | None:
        value = (values.get(group) or {}).get(name)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return value if good else None

    capacity, batch = number("buffer", "capacity"), number("trainer", "batch_size")
    if capacity is not None and batch is not None and batch > capacity:
        wrong = f"must be at most buffer.capacity={capacity}; enlarge the one or reduce the other"
        yield value_line("trainer.batch_size", batch, wrong)
    lanes = number("env", "num_envs")
    if few := rows_complaint(capacity, lanes, "env.num_envs"):
        yield value_line("buffer.capacity", capacity, few)
    rewards, gamma = (values.get("env") or {}).get("reward_range"), number("agent", "gamma")
    if rewards is not None and gamma is not None and 0 <= gamma < 1:
        sane = complaint("reward_range", rewards) is None
        if wrong_return := return_complaint(rewards, gamma) if sane else None:
            yield value_line("env.reward_range", rewards, wrong_return)
    total, start = number("trainer", "total_steps"), number("trainer", "learning_starts")
    learns = number("trainer", "updates_per_step") != 0
    offline, shown = number("trainer", "offline_updates"), values.get("buffer") or {}
    if offline and shown.get("demonstrations") is None:
        wrong = "there is nothing to learn from before the first env step; give buffer.demonstrations=..."
        yield value_line("trainer.offline_updates", offline, wrong)
    cloning = number("agent", "cloning_weight")
    if cloning and shown.get("demonstrations") is None:
        wrong = "clones demonstrations, and there are none; give buffer.demonstrations=..."
        yield value_line("agent.cloning_weight", cloning, wrong)
    if total == 0 and not offline:
        yield value_line("trainer.total_steps", 0, "must be >= 1, or trainer.offline_updates be")
    if total and start is not None and start >= total and learns:
        wrong = (
            f"must be less than trainer.total_steps={total}, or nothing is learned "
            "(if so meant: trainer.updates_per_step=0)"
        )
        yield value_line("trainer.learning_starts", start, wrong)


def env_and_agent(values: dict[str, Any], *, elsewhere: bool = False) -> str | None:
    """Make the env once and ask the agent whether it can act in it; unless `elsewhere`, weigh memory."""
    try:
        spaces = goal_spaces(values["env"])
    except UserError as error:
        return str(error)
    agent: Any = find_class("agent._target_", values["agent"]["_target_"])
    if wrong := agent.check_spaces(spaces):
        return f"agent: {one_line(wrong)}"
    wrong = goals_not_reached(values["buffer"], agent) or sums_no_steps(values, agent)
    if not elsewhere:
        wrong = wrong or slow_precision(values, agent) or too_large(values, spaces)
    return wrong or makes(values, agent, spaces)


def goals_not_reached(buffer: dict[str, Any], agent: type) -> str | None:
    """Refuse goals that no step led to where an agent takes each for one that its step led to."""
    from her_exp.buffers.goals import AHEAD

    if not getattr(agent, "learns_from_reached", False):
        return None
    k, strategy = buffer.get("k", math.inf), buffer.get("strategy")
    says = f"agent: {agent.__name__} learns from goals that were reached after a step, and from these alone; "
    if not math.isinf(k):
        return f"{says}buffer.k={k} keeps others, give buffer.k=inf"
    if isinstance(strategy, str) and strategy not in AHEAD:
        return f"{says}buffer.strategy={strategy} gives others, take {' or '.join(AHEAD)}"
    if (n := buffer.get("n_step", 1)) != 1:
        return f"buffer.n_step={n}: sums rewards, which {agent.__name__} never reads; give buffer.n_step=1"
    return None


def makes(values: dict[str, Any], agent: type, spaces: GoalSpaces) -> str | None:
    """Make an agent that is not all ours, once, to see whether it can be; nobody else says so in a line."""
    node = values["agent"]
    if node.get("network") is None and agent.__module__.partition(".")[0] == "her_exp":
        return None
    import numpy as np
    from hydra.utils import instantiate

    try:
        with foreign_code():
            instantiate(ready("agent", node), _partial_=True)(
                spaces=spaces,
                reward_range=values["env"].get("reward_range"),
                seed=np.random.SeedSequence(0),
                device="cpu",
            )
    except UserError as error:
        return str(error)
    except Exception as error:  # whatever a stranger's constructor raises
        inner = error.__cause__ or error
        return f"agent: cannot be made: {reason_of(inner)}"
    return None


def sums_no_steps(values: dict[str, Any], agent: type) -> str | None:
    """Refuse n steps of a buffer of ours to an agent that takes batches in its own way, of one step."""
    from her_exp.agents.base import GoalAgent
    from her_exp.buffers.hindsight import HindsightReplayBuffer

    buffer, n = values["buffer"], values["buffer"].get("n_step", 1)
    if n == 1 or not issubclass(find_class("buffer", buffer["_target_"]), HindsightReplayBuffer):
        return None
    if issubclass(agent, GoalAgent) and agent.update is GoalAgent.update:
        return None
    return (
        f"buffer.n_step={n}: {agent.__name__} has an update of its own, which would take the steps for one; "
        "give buffer.n_step=1, or an agent whose update is that of her_exp.agents.base.GoalAgent"
    )


def slow_precision(values: dict[str, Any], agent: type) -> str | None:
    """Refuse a number format that the device of an agent of ours does not multiply."""
    import torch

    from her_exp.agents.base import GoalAgent
    from her_exp.agents.products import refusal
    from her_exp.system.machine import resolve_device

    asked, device = values["agent"].get("precision"), values["device"]
    wrong = refusal(asked, torch.device(resolve_device(device)))
    if wrong is None or not issubclass(agent, GoalAgent):
        return None
    return f"agent.precision={asked}: {wrong}; take agent.precision=auto"


def schedule(values: dict[str, Any]) -> str | None:
    """Refuse a checkpoint schedule that cuts more of the episodes than it leaves whole."""
    trainer, lanes = values["trainer"], values["env"].get("num_envs", 1)
    every, steps = trainer.get("checkpoint_every"), _ask(values["env"])[1]
    least = 2 * (steps or 0) * lanes
    short = every is not None and every < min(least, trainer.get("total_steps", math.inf))
    if not short or trainer.get("short_checkpoints"):
        return None
    return (
        f"trainer.checkpoint_every={every}: must be at least {least}, two episodes of every lane (2 x "
        f"{steps} steps x {lanes} lanes), since each checkpoint cuts the episodes that are open; if "
        "they may be cut: trainer.short_checkpoints=true"
    )


def sinks(values: dict[str, Any]) -> str | None:
    """Make the sinks once: what their constructors refuse is told before anything runs."""
    from hydra.utils import instantiate

    for number, node in enumerate(values["trainer"].get("sinks") or ()):
        try:
            with foreign_code():
                instantiate(node)
        except Exception as error:  # whatever a stranger's constructor raises
            inner = error.__cause__ or error
            return f"trainer.sinks[{number}]: cannot be made: {reason_of(inner)}"
    return None


def goal_spaces(env: dict[str, Any]) -> GoalSpaces:
    """Return the spaces of the env that a node describes; UserError if it cannot be made."""
    return _ask(env)[0]


def demonstrations(values: dict[str, Any]) -> str | None:
    """Say in a line why the demonstrations of a configuration cannot be learned from, or None."""
    name = values["buffer"].get("demonstrations")
    if name is None:
        return None
    key = json.dumps([name, values["env"], values["buffer"]], sort_keys=True, default=str)
    if key not in _sets:  # jobs of a sweep have the same
        try:
            _look_at(name, values["env"], values["buffer"])
            _sets[key] = None
        except UserError as error:
            _sets[key] = str(error)
    return _sets[key]


def _look_at(name: str, env: dict[str, Any], buffer: dict[str, Any]) -> None:
    """Read a set once; UserError unless it is one of this env's, and memory holds it."""
    found, spaces = MinariSet(name), goal_spaces(env)
    info_keys, rewards = buffer.get("info_keys") or (), env.get("reward_range")
    found.fits(spaces, _ask(env)[2], info_keys)
    kind: Any = find_class("buffer", buffer["_target_"])
    need, there = kind.nbytes(spaces, found.rows, 1), machine_bytes()
    if need > there:
        raise found.fault(
            f"its {found.steps:,} steps take {need / 1e9:,.0f} GB at least, this machine has "
            f"{there / 1e9:,.0f} GB; take fewer episodes"
        )
    for number, episode in enumerate(found.episodes(spaces, info_keys)):
        low, high = episode.reward.min(), episode.reward.max()
        if rewards is not None and (low < rewards[0] - _SLACK or high > rewards[1] + _SLACK):
            raise found.fault(
                f"rewards of episode {number} are {low:g} to {high:g}, beyond env.reward_range={rewards}; "
                "is it of another variant of the env?"
            )


def _ask(env: dict[str, Any]) -> tuple[GoalSpaces, int | None, str]:
    """Make the env that a node describes, once for all jobs of a sweep, and ask it."""
    from hydra.utils import instantiate

    key = json.dumps(env, sort_keys=True, default=str)
    if key not in _envs:
        try:
            with foreign_code():
                task = instantiate(env)
                lanes = getattr(task, "collecting", task)
                if lanes.spaces != task.spaces:
                    raise UserError(
                        f"env.training_kwargs: other spaces ({lanes.spaces}) than without ({task.spaces})"
                    )
                _envs[key] = task.spaces, lanes.episode_steps, task.id
        except UserError as error:
            _envs[key] = error
        except Exception as error:
            # Hydra wraps what a constructor raises; the reason is the innermost.
            inner = error.__cause__ or error
            reason = reason_of(inner)
            ours = isinstance(inner, UserError)
            _envs[key] = UserError(reason if ours else f"env: cannot be made: {reason}")
    found = _envs[key]
    if isinstance(found, UserError):
        raise found
    return found


def too_large(values: dict[str, Any], spaces: GoalSpaces) -> str | None:
    """Return what of a configuration takes more memory than there is, or None.

    Asked are classes that have a static `nbytes(spaces, ...)`, a number of bytes that they need at
    least: a buffer's takes `capacity` and `num_envs`, an agent's `hidden_sizes`.
    """
    buffer, agent, lanes = values["buffer"], values["agent"], values["env"].get("num_envs")
    asks = (
        ("buffer", "capacity", (buffer.get("capacity"), lanes)),
        ("agent", "hidden_sizes", (agent.get("hidden_sizes"),)),
    )
    there = machine_bytes()
    for group, name, arguments in asks:
        if None in arguments:
            continue
        part: Any = find_class(group, values[group]["_target_"])
        need = part.nbytes(spaces, *arguments)
        if need > there:
            key = f"{group}.{name}={arguments[0]}".replace(" ", "")
            return f"{key}: takes {need / 1e9:,.0f} GB at least, this machine has {there / 1e9:,.0f} GB"
    return None
