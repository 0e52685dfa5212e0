"""Says in one line what is wrong with an override: what was given, and what would be right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from her_exp.config.hydra_api import Composition, without_hydra
from her_exp.config.overrides import keys, parsed
from her_exp.config.parts import PARTS
from her_exp.config.signatures import several
from her_exp.config.validate import validate
from her_exp.text import did_you_mean, nearest, one_line, unknown_key, written
from her_exp.types import UserError

#: Plugins of Hydra by their own names, and what stands for them here or is to be installed.
_PLUGINS = {
    "joblib": "take hydra/launcher=local",
    "submitit_local": "take hydra/launcher=submitit",
    "submitit_slurm": "take hydra/launcher=slurm",
    "ray": "take hydra/launcher=cluster",
    "ax": "pip install hydra-ax-sweeper",
    "nevergrad": "pip install hydra-nevergrad-sweeper",
}


def explain(error: Exception, overrides: Sequence[str], hydra: Composition) -> str:
    """Turn an error of Hydra or OmegaConf into one line about the override that caused it."""
    text = one_line(str(error))
    if isinstance(error, OverrideParseException):
        return one_line(_grammar(error))
    if isinstance(error, MissingConfigException):
        return one_line(_no_option(error, overrides, hydra))
    if isinstance(error, ValueError) and "digits" in text:
        # Python reads no integer of more than 4300 of them.
        longest = max(overrides, key=len)
        return f"{longest[:60]}... ({len(longest)} characters): a number must be below 2**63"
    cause = error.__cause__
    inside = str(getattr(cause, "full_key", ""))  # of key={name: value}, the name that is not there
    merging = re.match(r"Error merging override (.*)", text)
    if merging and cause is not None:
        reason = str(cause).splitlines()[0]
        reason = "must be a mapping {key: value}" if "not a subclass" in reason else reason
        reason = "must be a list [...]" if "DictConfig with ListConfig" in reason else reason
        return one_line(f"{merging.group(1)}: {reason}")
    for pattern, explanation in _LINES:
        match = re.search(pattern, text)
        if match:
            key = match.group(1)
            key = inside if inside.startswith(f"{key}.") else key
            return explanation(key, _given(key, overrides), overrides, hydra)
    if "Could not delete ''" in text:
        return "~: no key; write ~key, e.g. ~agent.gamma"
    if "Config group override must be" in text:
        return _bad_group_value(overrides, hydra)
    return text if cause is None else one_line(f"{text} {cause}")


def _grammar(error: OverrideParseException) -> str:
    override = error.override
    if "=" not in override and not override.startswith("~"):
        return (
            f"{override}: not an override; write key=value, e.g. buffer.k=8; a value with blanks in it is "
            "quoted as a whole"
        )
    key, _, value = override.partition("=")
    if not re.fullmatch(r"~?\+{0,2}[\w./@:-]*", key, re.ASCII):
        return f"{override}: the key cannot be read; write key=value, e.g. buffer.k=8"
    return f"{override}: the value cannot be read; {_readable(key, value)}"


def _readable(key: str, value: str) -> str:
    """Say how a value can be written that Hydra cannot read."""
    closing = {"[": "]", "{": "}", "(": ")"}
    closed = value.rstrip(",: ") + "".join(closing.get(sign, "") for sign in reversed(value))
    for says, word in (("close its brackets", closed), ("quote it as a whole", written(value))):
        if parsed([f"{key}={word}"]):
            return f"{says}: {shlex.quote(f'{key}={word}')}"
    return "close every bracket and quote"


def _no_option(error: MissingConfigException, overrides: Sequence[str], hydra: Composition) -> str:
    file = error.missing_cfg_file or ""
    group, _, name = file.rpartition("/")
    if not group:
        return f"--config-name={name}: no such configuration beside conf/config.yaml"
    for override in parsed(overrides):  # of group=folder/name, the group
        if f"{override.key_or_group}/{override.value()}" == file:
            group, name = override.key_or_group, str(override.value())
    line = f"{group}={name}: no such {group.rpartition('/')[2]}"
    source = re.match(r"In '([^']*)'", str(error))
    if source and source.group(1) not in (hydra.config_name, "hydra/config"):
        line += f" (asked for in {source.group(1)}.yaml)"
    return f"{line}; {_there_are(group, name, hydra)}"


def _there_are(group: str, name: str, hydra: Composition) -> str:
    """Say which options a group has in place of one that it has not."""
    folders = [] if group.startswith("hydra/") else _folders(group, hydra)
    below = {at: _options(f"{group}/{at}", hydra) for at in folders}
    nested = {at: [f"{at}/{option}" for option in options] for at, options in below.items()}
    top = _options(group, hydra)
    if each := several(group, name, Literal[tuple(top)]):
        return each.removeprefix("; ")
    shown = nested.get(name.partition("/")[0], [*top, *(f"{at}/..." for at in folders)])
    says = f"there are {', '.join(shown)}" if shown else "there are none"
    hint = did_you_mean(
        name, [*top, *(option for options in nested.values() for option in options)]
    )
    if name in _PLUGINS and group.startswith("hydra/"):
        hint = _PLUGINS[name]
    if group == "env" and re.search(r"-v\d+$", name):
        from her_exp.envs.ids import right_words

        hint = right_words(name)
    return f"{says}; {hint}" if hint else says


def _groups(hydra: Composition) -> list[str]:
    tops = _folders("", hydra)
    return [*tops, *(f"{top}/{name}" for top in tops for name in _folders(top, hydra))]


def _options(group: str, hydra: Composition) -> list[str]:
    return list(hydra.loader.get_group_options(group))


def _folders(group: str, hydra: Composition) -> list[str]:
    return list(hydra.loader.get_group_options(group, ObjectType.GROUP))


def path_for_option(overrides: Sequence[str], hydra: Composition) -> str | None:
    """Return the line for an option of a group that is a path, such as env=../x, or a list of options."""
    values = [o.partition("=")[2] for o in overrides]
    odd = re.compile(r".*/.*|\.\.?|\[.*")
    paths = [o for o, v in zip(overrides, values, strict=True) if odd.fullmatch(v)]
    for override in parsed(paths):
        options = hydra.loader.get_group_options(override.key_or_group)
        value = None if override.is_delete() else override.value()
        group = override.key_or_group
        if group in PARTS and (each := several(group, value, Literal[(*options,)])):
            return one_line(f"{override.input_line}: must be one {group}{each}")
        parts = value.split("/") if isinstance(value, str) and value else []
        if options and {"", ".", ".."} & set(parts):
            return one_line(f"{override.input_line}: give one of {', '.join(options)}")
    return None


def _given(key: str, overrides: Sequence[str]) -> str:
    """Return the override of `key` as it was given."""
    same = [o for o in overrides if o.lstrip("+~").partition("=")[0] == key or o == key]
    return same[-1] if same else key


def _not_there(key: str, given: str, overrides: Sequence[str], hydra: Composition) -> str:
    group, value = re.sub("[./]", "/", key), given.partition("=")[2]
    above, _, name = group.rpartition("/")
    if value and _options(group, hydra) and _options(above, hydra):
        option = f"{name}/{value}"
        if above.startswith("hydra/"):
            return f"{given}: {_part_of(above, group, hydra)}"
        if value in _options(group, hydra):
            return f"{given}: write {above}={option}"
        return f"{given}: write {above}={name}/NAME; {_there_are(above, option, hydra)}"
    if value and "." not in key and _options(f"hydra/{group}", hydra):
        return f"{given}: write {shlex.quote(f'hydra/{given}')}"
    known = _known_keys(overrides, hydra)
    if "/" in key and group.replace("/", ".") in known:
        return f"unknown key {key}: did you mean {group.replace('/', '.')}?"
    if "/" in key and (hint := did_you_mean(key, _groups(hydra))):
        return f"unknown key {key}: {hint}"
    part = key.partition(".")[0]
    is_near = any(name.startswith(f"{part}.") for name in nearest(key, known))
    if is_near and not any(text.lstrip("+").startswith(f"{part}._target_=") for text in overrides):
        return unknown_key(key, known)
    takes = _class_says(key, overrides, hydra)
    if takes == "":
        plus = shlex.quote(f"+{given.lstrip('+~')}")
        return f"unknown key {key}: its class takes it; add it with a plus: {plus}"
    if is_near:
        return unknown_key(key, known)
    near = re.search(r"did you mean ([\w.]+)", takes or "")
    if near and near.group(1) not in known:
        return f"unknown key {key}: did you mean +{near.group(1)}?"
    return unknown_key(key, known)


def _part_of(above: str, group: str, hydra: Composition) -> str:
    """Say which options of a group bring another one with them."""
    brings = [
        f"{above}={option}"
        for option in _options(above, hydra)
        if group in hydra.compose([f"{above}={option}"]).hydra.runtime.choices
    ]
    return f"goes with {' or '.join(brings)}" if brings else "nothing here has it"


def _class_says(key: str, overrides: Sequence[str], hydra: Composition) -> str | None:
    """Return what is said of a key, were it added: '' where the class takes it, None if nobody knows."""
    group = key.partition(".")[0]
    if group not in PARTS:
        return None
    forced = [
        f"++{text.lstrip('+')}" if "." in text.partition("=")[0] and text[0] != "~" else text
        for text in overrides
    ]
    lines = _wrong_of(forced, hydra)
    if lines is None:
        return None
    about = [line for line in lines if line.startswith((group, f"unknown key {group}"))]
    its = [line for line in about if line.startswith(f"unknown key {key}:")]
    others = [line for line in about if not line.startswith(f"{key}=")]
    return its[0] if its else None if others else ""


def _wrong_of(overrides: Sequence[str], hydra: Composition) -> list[str] | None:
    """Return what the check of such a configuration says; None where it does not compose."""
    try:
        validate(without_hydra(hydra.compose(overrides, RunMode.MULTIRUN)))
    except UserError as error:
        return str(error).splitlines()
    except (HydraException, OmegaConfBaseException):
        return None
    return []


def _already_there(key: str, given: str, overrides: Sequence[str], hydra: Composition) -> str:
    return f"{given}: {key} exists; write it without the plus: {given.lstrip('+')}"


def _several(key: str, given: str, overrides: Sequence[str], hydra: Composition) -> str:
    name, _, values = key.partition("=")
    (swept,), others = parsed([key]), [text for text in overrides if text != given]

    def takes(word: str) -> bool:
        lines = _wrong_of([*others, word], hydra)
        return lines is not None and not any(
            line.startswith(f"{name.lstrip('+')}=") for line in lines
        )

    listed, is_group = f"{name}=[{values}]", bool(_options(name, hydra))
    ways = [f"write one list: {shlex.quote(listed)}"] if takes(listed) and not is_group else []
    if not ways or takes(f"{name}={next(swept.sweep_string_iterator())}"):
        ways.insert(0, "add -m to run each")
    return f"{key}: several values; {', or '.join(ways)}"


def _sweep_alone(key: str, given: str, overrides: Sequence[str], hydra: Composition) -> str:
    return f"{key}: several values; add -m to run each"


_LINES = (
    (r"Could not override '([^']*)'", _not_there),
    (r"Could not delete\S* from config. '([^']*)' does not exist", _not_there),
    (r"An item is already at '([^']*)'", _already_there),
    (r"Multiple values for ([^\s.]*)\.", _already_there),
    (r"Ambiguous value for argument '(.*?)' 1\.", _several),
    (r"Sweep parameters '(.*)' requires", _sweep_alone),
)


def _known_keys(overrides: Sequence[str], hydra: Composition) -> list[str]:
    """List every key that the chosen groups have, and the groups themselves."""
    chosen = [
        override.input_line
        for override in parsed(overrides)
        if override.input_line
        and not override.is_delete()
        and override.package is None
        and hydra.loader.get_group_options(override.key_or_group)
    ]
    try:
        cfg = hydra.compose(chosen)
    except (HydraException, OmegaConfBaseException):
        cfg = hydra.compose([])
    found = [*keys(cfg), "experiment"]
    given = {f"hydra.{o.lstrip('+~').partition('=')[0]}" for o in overrides}
    own = [key for key in found if not key.startswith("hydra.") or key in given]
    return found if any(o.lstrip("+~").startswith("hydra.") for o in overrides) else own


def _bad_group_value(overrides: Sequence[str], hydra: Composition) -> str:
    for override in parsed(overrides):
        options = hydra.loader.get_group_options(override.key_or_group)
        if not override.key_or_group:
            return f"{override.input_line}: no key; write key=value, e.g. buffer.k=8"
        if options and not isinstance(override.value(), str | list):
            return f"{override.input_line}: give one of {', '.join(options)}"
    return "a group override names one of the group's files, e.g. env=point_reach"
