"""The page "Words of each command", written from what the commands say of themselves.

The words come from their tables of defaults and from `her_exp.run`, what each does from their
--help. A word that --help leaves out, or has another default there, is an error here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from her_exp import check, evaluate, report
from her_exp import run as resume

ROOT = Path(__file__).resolve().parents[1]
_WORD = re.compile(r"^ *(\w+)=(\S*) +(.+)$", re.M)
_FLAG = re.compile(r"^ *(--?[\w-]+(?: \w+)?)  +(.+)$", re.M)


def words_page() -> str:
    """Write the page: a section for each command that the package installs."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    lines = [
        "# Words of each command", "",
        "What stands on a command line beside [settings](index.md). `--help` says it too, of each command.",
        "",
    ]  # fmt: skip
    for name, target in scripts.items():
        module = target.partition(":")[0]
        lines += [f"## python -m {module}", "", f"Installed as `{name}`, too.", ""]
        lines += _SECTIONS[module]()
    return "\n".join(lines)


def words(usage: str, defaults: Mapping[str, Any]) -> list[str]:
    """Set the words of a command in a table; ValueError where usage and defaults differ."""
    said = {key: (shown, text) for key, shown, text in _WORD.findall(usage)}
    if set(said) != set(defaults):
        raise ValueError(f"--help and the defaults differ in {set(said) ^ set(defaults)}")
    rows = ["| word | default | |", "|---|---|---|"]
    for key, default in defaults.items():
        shown, text = said[key]
        plain = "" if default is None else str(default)
        plain = plain.lower() if isinstance(default, bool) else plain
        stands_for = shown.strip("[]").isupper()  # FOLDER: something to be filled in
        if shown != plain and (plain or not stands_for):
            raise ValueError(f"--help says {key}={shown}, the default is {default!r}")
        word = f"{key}={shown}" if stands_for else f"{key}="
        rows.append(f"| `{word}` | {f'`{plain}`' if plain else '-'} | {_code(text)} |")
    return [*rows, ""]


def _code(text: str) -> str:
    """Put the words of a command line that a sentence names between backticks."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    words = r"(?<![\w.<])(--[a-z-]+(?: job)?|\w+=(?:[\w.]+|\[[\w,]+\]|<\w+>)?)"
    return "".join(p if p.startswith("`") else re.sub(words, r"`\1`", p) for p in parts)


def _train() -> list[str]:
    text = yaml.safe_load((ROOT / "conf/hydra/help/her_exp.yaml").read_text())["template"]
    parts = dict(re.findall(r"^== ([^:=]+?)(?::[^\n]*)? ==\n(.*?)(?=^==|\Z)", text, re.M | re.S))
    flags = [f"| `{flag}` | {_code(does)} |" for flag, does in _FLAG.findall(parts["Flags"])]
    return [
        "Settings, `sweep=` among them, are explained in [Configuration](index.md). These are none:",
        "", *words(parts["Words that are no settings"], dict.fromkeys(resume.WORDS)),
        "| flag | |", "|---|---|", *flags, "",
    ]  # fmt: skip


def _evaluate() -> list[str]:
    return _with_words(evaluate.__doc__ or "", evaluate.DEFAULTS)


def _report() -> list[str]:
    return _with_words(report.__doc__ or "", report.DEFAULTS)


def _with_words(usage: str, defaults: Mapping[str, Any]) -> list[str]:
    first, command, *_ = usage.split("\n\n")
    return [first, "", *_block(command), *words(usage, defaults)]


def _check() -> list[str]:
    return ["The settings of `env`, as for training.", "", *_block(check.USAGE)]


def _block(text: str) -> list[str]:
    return ["```text", *text.strip().splitlines(), "```", ""]


_SECTIONS = {
    "her_exp.train": _train,
    "her_exp.evaluate": _evaluate,
    "her_exp.check": _check,
    "her_exp.report": _report,
}
