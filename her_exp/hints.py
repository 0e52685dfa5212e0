"""Says in one line what is wrong with an override: what was given, and what would be right."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from her_exp.signals import Stopped
from her_exp.types import UserError

if TYPE_CHECKING:
    from her_exp.config import Composer

#: Plugins of Hydra by their own names, and what stands for them here or is to be installed.
_PLUGINS = {
    "joblib": "take hydra/launcher=local",
    "submitit_local": "take hydra/launcher=submitit",
    "submitit_slurm": "take hydra/launcher=slurm",
    "ray": "take hydra/launcher=cluster",
    "ax": "pip install hydra-ax-sweeper",
    "nevergrad": "pip install hydra-nevergrad-sweeper",
}


#: Characters of a message, at most: a stranger's may be megabytes.
_LONGEST = 2000
_TRACE = 400  # lines of a traceback, at most: the last ones


def one_line(text: str) -> str:
    """Join the lines of a message, which may be a stranger's: printable, and not without end."""
    return printable(" ".join(shortened(text, _LONGEST).split()))


def shortened(text: str, most: int) -> str:
    """Return a text of `most` characters, or a little more: what is cut is counted."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """Return a stranger's text without what moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def message_of(error: BaseException) -> str:
    """Return the message of an error; '' where a stranger's class cannot even say it."""
    try:
        return str(error)
    except Exception:
        return ""


def reason_of(error: BaseException) -> str:
    """Say in one line why something ended: what we say as it is, else the class of the error too."""
    text, kind = one_line(message_of(error)), type(error).__name__
    if isinstance(error, UserError | Stopped | Left):
        return text
    return f"{kind}: {text}" if text else kind


class Left(RuntimeError):
    """A stranger's code wanted to end the program: by sys.exit, or by what is no `Exception`."""


@contextmanager
def foreign_code() -> Iterator[None]:
    """Let what a stranger's code raises here be an `Exception`, so that it ends a run and no more."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Left(reason_of(error)) from error


def trace_of(error: BaseException) -> str:
    """Return the traceback of an error, its lines printable and none without end."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(printable(shortened(line, _LONGEST)) for line in lines[-_TRACE:])


def nearest(word: str, names: Iterable[str], n: int = 2) -> list[str]:
    """Return up to `n` names like `word`, best first; of dotted names the last part counts most."""

    def ratio(a: str, b: str) -> float:
        # A unit that both end in (_steps, _every) makes no likeness.
        while "_" in a and "_" in b and a.rpartition("_")[2] == b.rpartition("_")[2]:
            a, b = a.rpartition("_")[0], b.rpartition("_")[0]
        return difflib.SequenceMatcher(None, a.lower(), b.lower()).ratio()

    parent, _, last = word.rpartition(".")
    scored = []
    for name in set(names):
        above, _, end = name.rpartition(".")
        same = ratio(last, end)
        if set(last.split("_")) <= set(end.split("_")):  # lr: actor_lr
            same = max(same, 0.8)
        if same >= 0.6:
            scored.append((0.75 * same + 0.25 * (above == parent or ratio(parent, above)), name))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [name for score, name in scored[:n] if score >= max(0.55, scored[0][0] - 0.05)]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return 'did you mean a or b?', or '' where nothing is near."""
    near = nearest(word, names)
    return f"did you mean {' or '.join(near)}?" if near else ""


def unknown_key(key: str, names: Iterable[str]) -> str:
    """Return the line for a key that does not exist."""
    if not key:
        return "=: no key; write key=value, e.g. buffer.k=8"
    hint = did_you_mean(re.split("[@/]", key)[0], [name for name in names if name != key])
    return f"unknown key {key}: {hint or 'python -m her_exp.train --cfg job shows all keys'}"


def blame_experiment(text: str, overrides: Sequence[str], hydra: Composer) -> str:
    """Of keys that an experiment sets and another choice of their group does not take, say just that."""
    given = dict(word.partition("=")[::2] for word in overrides)
    if "experiment" not in given or "unknown key " not in text:
        return text
    try:
        without = set(keys(hydra.raw([o for o in overrides if not o.startswith("experiment=")])))
    except UserError:
        return text
    lines: list[str] = []
    foreign: dict[str, list[str]] = {}
    for line in text.splitlines():
        group, key = (re.findall(r"^unknown key (\w+)(\.[\w.]+): ", line) or [("", "")])[0]
        if group in given and group + key not in without:
            foreign.setdefault(group, []).append(group + key)
        else:
            lines.append(line)
    for group, names in foreign.items():
        choice, experiment = f"{group}={given[group]}", f"experiment={given['experiment']}"
        lines.append(
            f"{choice}: does not take {' and '.join(names)}, which {experiment} sets; "
            f"leave out {choice} or {experiment}"
        )
    return "\n".join(lines)


def keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Walk all dotted keys of a configuration, nodes and leaves."""
    for name in cfg:
        key = str(name)
        yield prefix + key
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing()):
            yield from keys(node, f"{prefix}{key}.")


def given_twice(overrides: Iterable[str]) -> list[str]:
    """Return a line for each key that several overrides set; Hydra takes the last of them."""
    given: dict[str, list[str]] = {}
    for text in overrides:
        key, equals, _ = text.partition("=")
        if equals and not key.startswith("~"):
            given.setdefault(key.lstrip("+"), []).append(text)
    return [
        f"{' '.join(texts)}: {key} is given {len(texts)} times"
        for key, texts in given.items()
        if len(texts) > 1
    ]


def explain(error: Exception, overrides: Sequence[str], hydra: Composer) -> str:
    """Turn an error of Hydra or OmegaConf into one line about the override that caused it."""
    text = one_line(str(error))
    if isinstance(error, OverrideParseException):
        return one_line(_grammar(error))
    if isinstance(error, MissingConfigException):
        return one_line(_no_option(error, hydra))
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
        return f"{override}: not an override; write key=value, e.g. buffer.k=8"
    key, _, value = override.partition("=")
    if not re.fullmatch(r"~?\+{0,2}[\w./@:-]*", key, re.ASCII):
        return f"{override}: the key cannot be read; write key=value, e.g. buffer.k=8"
    quoted = "'" + value.replace("'", r"\'") + "'"
    return (
        f"{override}: the value cannot be read; "
        f'close every bracket and quote, or quote text as a whole: "{key}={quoted}"'
    )


def _no_option(error: MissingConfigException, hydra: Composer) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return f"--config-name={name}: no such configuration beside conf/config.yaml"
    line = f"{group}={name}: no such {group.rpartition('/')[2]}"
    source = re.match(r"In '([^']*)'", str(error))
    if source and source.group(1) not in (hydra.config_name, "hydra/config"):
        line += f" (asked for in {source.group(1)}.yaml)"
    options = hydra.loader.get_group_options(group)
    line += f"; there are {', '.join(options)}" if options else "; there are none"
    hint = did_you_mean(name, options)
    if name in _PLUGINS and group.startswith("hydra/"):
        hint = _PLUGINS[name]
    return f"{line}; {hint}" if hint else line


def path_for_option(overrides: Sequence[str], hydra: Composer) -> str | None:
    """Return the line for an option of a group that is a path, such as env=../x, if there is one."""
    values = [o.partition("=")[2] for o in overrides]
    paths = [o for o, v in zip(overrides, values, strict=True) if "/" in v or v in (".", "..")]
    for override in _parsed(paths):
        options = hydra.loader.get_group_options(override.key_or_group)
        value = None if override.is_delete() else override.value()
        parts = value.split("/") if isinstance(value, str) and value else []
        if options and {"", ".", ".."} & set(parts):
            return one_line(f"{override.input_line}: give one of {', '.join(options)}")
    return None


def _given(key: str, overrides: Sequence[str]) -> str:
    """Return the override of `key` as it was given."""
    same = [o for o in overrides if o.lstrip("+~").partition("=")[0] == key or o == key]
    return same[-1] if same else key


def _not_there(key: str, given: str, overrides: Sequence[str], hydra: Composer) -> str:
    return unknown_key(key, _known_keys(overrides, hydra))


def _already_there(key: str, given: str, overrides: Sequence[str], hydra: Composer) -> str:
    return f"{given}: {key} exists; write it without the plus: {given.lstrip('+')}"


def _several(key: str, given: str, overrides: Sequence[str], hydra: Composer) -> str:
    name, _, values = key.partition("=")
    return f"{key}: several values; add -m to run each, or write one list: {name}=[{values}]"


def _sweep_alone(key: str, given: str, overrides: Sequence[str], hydra: Composer) -> str:
    return f"{key}: several values; add -m to run each"


_LINES = (
    (r"Could not override '([^']*)'", _not_there),
    (r"Could not delete\S* from config. '([^']*)' does not exist", _not_there),
    (r"An item is already at '([^']*)'", _already_there),
    (r"Multiple values for ([^\s.]*)\.", _already_there),
    (r"Ambiguous value for argument '(.*?)' 1\.", _several),
    (r"Sweep parameters '(.*)' requires", _sweep_alone),
)


def _parsed(overrides: Sequence[str]) -> list[Override]:
    parsed = []
    for override in overrides:
        try:
            parsed += OverridesParser.create().parse_overrides([override])
        except (HydraException, ValueError):
            continue
    return parsed


def _known_keys(overrides: Sequence[str], hydra: Composer) -> list[str]:
    """List every key that the chosen groups have, and the groups themselves."""
    chosen = [
        override.input_line
        for override in _parsed(overrides)
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
    own = [key for key in found if not key.startswith("hydra.")]
    return found if any(o.lstrip("+~").startswith("hydra.") for o in overrides) else own


def _bad_group_value(overrides: Sequence[str], hydra: Composer) -> str:
    for override in _parsed(overrides):
        options = hydra.loader.get_group_options(override.key_or_group)
        if not override.key_or_group:
            return f"{override.input_line}: no key; write key=value, e.g. buffer.k=8"
        if options and not isinstance(override.value(), str | list):
            return f"{override.input_line}: give one of {', '.join(options)}"
    return "a group override names one of the group's files, e.g. env=point_reach"
