"""Says what is wrong with a composed configuration, before anything is made from it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from her_exp.config.hydra_api import path_safe, plain
from her_exp.config.parts import BESIDE, LISTED, NESTED, PARTS
from her_exp.config.rules import (
    between,
    demonstrations,
    env_and_agent,
    schedule,
    sinks,
    value_line,
)
from her_exp.config.signatures import Arguments, arguments, find_class, mismatch, several
from her_exp.limits import AtMost, complaint, complaint_of, limit_of
from her_exp.text import did_you_mean, one_line, unknown_key
from her_exp.types import UserError

#: Keys of the root, and what an experiment file may note for its readers and tests.
_ROOT: dict[str, Any] = {
    "seed": int,
    "threads": int,
    "device": str,
    "products": Literal["onednn", "torch", "auto"],
    "sweep": str | int | None,
    "score": dict[str, Any] | None,
}

#: Keys of a command line that have no dot.
NAMES = (*PARTS, *_ROOT, "experiment")

#: What Hydra's `instantiate` reads of a node. The run hands over every argument by name.
_HYDRA: dict[str, Any] = {
    "_target_": str,
    "_convert_": Literal["none", "partial", "object", "all"],
    "_recursive_": bool,
}


#: Arguments of Gymnasium's own `make`, which the env's class does not see.
_MAKE = {"max_episode_steps": int | None, "disable_env_checker": bool | None}


def validate(cfg: DictConfig, *, elsewhere: bool = False, learns: bool = True) -> None:
    """Check every value of a composed configuration, and the env against the agent.

    What runs `elsewhere` may ask for a device, for memory and for data that is not here; a policy that no
    longer `learns` needs no data.

    Raises:
        UserError: with one line for each problem.
    """
    values = plain(cfg)
    values.pop("hydra", None)
    problems: dict[str, str] = {}  # by key: what is wrong first is said
    for key, line in [*_root(values, elsewhere), *_parts(values), *between(values)]:
        problems.setdefault(key, line)
    if not problems:
        wrong = env_and_agent(values, elsewhere=elsewhere) or schedule(values) or sinks(values)
        if learns and not elsewhere:
            wrong = wrong or demonstrations(values)
        problems |= {"env": wrong} if wrong else {}
    if problems:
        raise UserError("\n".join(line + _if_text(key, cfg) for key, line in problems.items()))


def _if_text(key: str, cfg: DictConfig) -> str:
    """Return the remedy where a value that is no text comes from the environment, which holds text."""
    node = OmegaConf.to_container(cfg, resolve=False)
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, str) or not re.fullmatch(r"\$\{oc\.env:[^{}]*\}", node):
        return ""
    decoded = f"${{oc.decode:{node}}}"
    try:
        is_text = isinstance(OmegaConf.create({"it": decoded}).it, str)
    except OmegaConfBaseException:
        is_text = True
    word = shlex.quote(f'{key}="{decoded}"')
    return "" if is_text else f"; what comes from the environment is text: write {word}"


# --- the root ----------------------------------------------------------------------------------


def _root(values: dict[str, Any], elsewhere: bool) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if key in PARTS:
            continue
        if key not in _ROOT:
            yield key, unknown_key(key, [*PARTS, *_ROOT, *_dotted(values)])
        elif wrong := mismatch(value, _ROOT[key]) or complaint(key, value):
            yield value_line(key, value, wrong + several(key, value, _ROOT[key]))
    for key in ("seed", "threads", "device", "products"):
        if key not in values:
            yield key, f"{key} is not set; give {key}=..."
    sweep = values.get("sweep")
    if sweep is not None and path_safe(sweep) != str(sweep):
        yield value_line(
            "sweep", sweep, f"must be one safe folder name, e.g. sweep={path_safe(sweep)}"
        )
    if str(values.get("device")).startswith("cuda") and not elsewhere:
        yield from _cuda(values["device"])


def _dotted(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def _cuda(device: str) -> Iterator[tuple[str, str]]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = device.partition(":")[2]
    if count == 0:
        yield value_line(
            "device", device, "torch sees no CUDA device here; take device=cpu or auto"
        )
    elif number.isdigit() and int(number) >= count:
        yield value_line("device", device, f"there are {count} CUDA devices, numbered from 0")


# --- the parts ---------------------------------------------------------------------------------


def _parts(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for role, part in PARTS.items():
        node = values.get(role)
        if not isinstance(node, dict) or "_target_" not in node:
            yield role, f"{role}._target_ is not set; choose {role}=<a file of conf/{role}/>"
            continue
        yield from _node(role, node, part.runtime, part.asked)


def _node(
    key: str, node: dict[str, Any], runtime: Collection[str], methods: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Check a node with a `_target_`, and those within it, against what their classes take."""
    try:
        cls = find_class(f"{key}._target_", node["_target_"])
    except UserError as error:
        yield f"{key}._target_", str(error)
        return
    lacking = [method for method in methods if not hasattr(cls, method)]
    if lacking:
        wrong = f"is no {key}: it lacks {', '.join(lacking)}{_derive(key)}"
        yield value_line(f"{key}._target_", node["_target_"], wrong)
        return
    takes = arguments(cls)
    takes.types |= BESIDE.get(key, {})
    if key in NESTED:  # given in order, whatever their names
        runtime = list(takes.types)[: NESTED[key][1]]
    try:
        own = takes.types
        if key == "env" and takes.open:
            takes = with_env(cls, takes, node)
    except UserError as error:
        yield "env.id", str(error)
        return
    ours = cls.__module__.partition(".")[0] == "her_exp"
    for name, value in node.items():
        if name.startswith("_") and name.endswith("_"):
            yield from _hydras(f"{key}.{name}", value, nested=key not in PARTS)
            continue
        yield from _argument(f"{key}.{name}", value, takes, runtime, ours)
        most = limit_of(takes.types.get(name), AtMost)
        if above := most.complaint(value, node, f"{key}.") if most else None:
            yield value_line(f"{key}.{name}", value, above)
    for name, value in (node.get("training_kwargs") or {}).items() if key == "env" else ():
        yield from _argument(f"env.training_kwargs.{name}", value, takes, own, ours)
    for name in sorted(takes.required - set(runtime) - set(node)):
        give = f"write {name} into the node" if key.endswith("]") else f"give +{key}.{name}=..."
        yield f"{key}.{name}", f"{key}.{name} is not set and {cls.__name__} needs it; {give}"


def _derive(key: str) -> str:
    base = PARTS[key].protocol if key in PARTS else LISTED.get(key.partition("[")[0])
    return f"; derive it from {base}, which has the defaults" if base else ""


def _hydras(key: str, value: Any, *, nested: bool) -> Iterator[tuple[str, str]]:
    """Check a key that is Hydra's own; of a part that the run makes, only some mean something."""
    takes = _HYDRA | ({"_partial_": bool, "_args_": list} if nested else {})
    name = key.rpartition(".")[2]
    if name not in takes:
        yield key, f"{key}: has no meaning here; leave it out"
    elif wrong := mismatch(value, takes[name]):
        yield value_line(key, value, wrong)


def _argument(
    key: str, value: Any, takes: Arguments, runtime: Collection[str], ours: bool
) -> Iterator[tuple[str, str]]:
    group, _, name = key.rpartition(".")
    if name in runtime:
        yield value_line(key, value, "the run sets it; leave it out")
    elif name not in takes.types and not takes.open:
        known = sorted(set(takes.types) - set(runtime))
        near = did_you_mean(key, [f"{group}.{name}" for name in known])
        own = f"; a class of yours that takes more is chosen by {group}._target_"
        all_known = f"{group} takes {', '.join(known) or 'nothing'}"
        hint = near or (all_known if group == "env" else all_known + own)
        yield key, f"unknown key {key}: {hint}"
    elif key in LISTED:
        yield from _listed(key, value)
    elif wrong := _wrong(name, value, kind := takes.types.get(name, Any), ours):
        yield value_line(key, value, wrong + several(key, value, kind))
    elif key == "buffer.strategy" and ours and not _is_node(value):
        yield from _strategy(key, value)
    elif key in NESTED and value is not None and not _is_node(value):
        yield value_line(
            key, value, f"must be null or a node with a _target_: {key}={{_target_: ...}}"
        )
    elif _is_node(value):
        yield from _node(key, value, (), ())


def _listed(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Check a list of nodes, each of which does what the class does that they descend from."""
    base = find_class(key, LISTED[key])
    asked = [method for method in vars(base) if not method.startswith("_")]
    if not isinstance(value, list):
        yield value_line(key, value, "must be a list of nodes: [{_target_: ...}]")
        return
    for number, node in enumerate(value):
        each = f"{key}[{number}]"
        if _is_node(node):
            yield from _node(each, node, (), asked)
        else:
            yield value_line(each, node, "must be a node with a _target_: {_target_: ...}")


def _wrong(name: str, value: Any, annotation: Any, ours: bool) -> str | None:
    """Return what a value must be by its annotation, its limits included, or by its name in our classes."""
    return (
        mismatch(value, annotation)
        or complaint_of(limit_of(annotation), value)
        or (complaint(name, value) if ours else None)
    )


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _strategy(key: str, value: Any) -> Iterator[tuple[str, str]]:
    from her_exp.buffers.goals import STRATEGIES

    if not isinstance(value, str) or value not in STRATEGIES:
        hint = several(key, value, Literal[tuple(STRATEGIES)])
        near = did_you_mean(value, STRATEGIES) if isinstance(value, str) else ""
        hint = hint or (f"; {near}" if near else "")
        wrong = f"must be one of {', '.join(STRATEGIES)}, or a node with a _target_{hint}"
        yield value_line(key, value, wrong)


def with_env(cls: type, takes: Arguments, node: dict[str, Any]) -> Arguments:
    """Add the arguments of the Gymnasium env to those of the task that passes them on."""
    from gymnasium.envs.registration import load_env_creator

    from her_exp.envs.ids import find_spec, import_modules
    from her_exp.envs.make import GoalTask
    from her_exp.envs.variants import VariantTask, fill

    wrong = mismatch(node.get("id"), str) or mismatch(node.get("imports", []), list[str])
    if not issubclass(cls, GoalTask) or wrong:
        return takes
    import_modules(node.get("imports", []))
    id, words = node["id"], dict[str, Any]()
    if issubclass(cls, VariantTask):
        choices = node.get("choices")
        if not isinstance(choices, dict) or not all(isinstance(c, dict) for c in choices.values()):
            raise UserError(f"env.choices={choices}: must be a mapping {{place: {{word: part}}}}")
        id, words = fill(id, choices, node), dict.fromkeys(choices, str)
    spec = find_spec(id)
    entry = spec.entry_point or spec.vector_entry_point
    assert entry is not None
    try:
        inner = arguments(load_env_creator(entry) if isinstance(entry, str) else entry)
    except (ImportError, AttributeError) as error:
        raise UserError(f"env.id={id}: cannot be loaded: {one_line(str(error))}") from error
    return Arguments(_MAKE | inner.types | takes.types | words, takes.required, inner.open)
