"""Which choice an error line is about: keys that an experiment sets, or that a swept group has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from her_exp.config.compose import Composer
from her_exp.config.overrides import keys, parsed
from her_exp.types import UserError


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


def blame_sweep(text: str, overrides: Sequence[str]) -> str:
    """Of keys that the default of a swept group does not have, say how they are given."""
    swept = {o.key_or_group for o in parsed(overrides) if o.is_sweep_override()}
    lines = []
    for line in text.splitlines():
        key = line.removeprefix("unknown key ").partition(": ")[0]
        given = next((o for o in overrides if o.partition("=")[0] == key), "")
        by = swept & {key.partition(".")[0], "experiment"}
        if given and by:
            line = (
                f"{given}: {min(by)} is swept, and not every choice has {key}; give it to each with "
                + shlex.quote(f"++{given}")
            )
        lines.append(line)
    return "\n".join(lines)
