"""The configuration reference of the documentation, written from the files of conf/ and their comments.

`make docs` calls it (scripts/site_hooks.py). What a page says stands in conf/ and nowhere else: to
change it, change the comment there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_words import words_page
from omegaconf import OmegaConf

CONF = Path(__file__).resolve().parents[1] / "conf"
#: Keys that are Hydra's own words, and no settings.
_HYDRA = re.compile(r"_\w+_|defaults|hydra")
_LINE = re.compile(r"(?P<key>[\w.]+):(?P<value>.*?)(?:\s+#\s*(?P<says>.*))?")
#: In a comment: code between backticks, a quoted word of a command line, a word of a command line.
_CODE = re.compile(
    r"`[^`]*`|'[^']*=[^']*'|(?<![\w.])\+?[\w.]+(?:/[\w.]+)*=(?:[^\s;:(),.]|\([^()\s]*\)|[.,:](?=\w))+"
)
_GROUPS = {
    "env": "The task, and the lanes that play it. `python -m her_exp.check env=...` looks at one.",
    "buffer": "Where steps are kept and relabelled: [HER here, exactly](../her.md).",
    "agent": "What learns: [the agents](../agents.md).",
    "trainer": "How long, and how often.",
}


@dataclass
class Entry:
    """A key of a file, its default and what the comment beside it says."""

    key: str
    value: str
    says: str


@dataclass
class ConfFile:
    """A file of conf/: what its head says, its keys, its text."""

    name: str
    text: str
    says: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    note: list[str] = field(default_factory=list)  #: comment lines between the keys

    @property
    def head(self) -> str:
        """What the head of the file says; a line that begins anew after none that ended stays one."""
        lines = [line for line in self.says if not line.startswith(("@", "python -m "))]
        return re.sub(r"(?<=[^.,;])\n(?=[A-Z])", "  \n", "\n".join(lines))

    def settings(self) -> Iterator[Entry]:
        """The keys that are settings."""
        return (entry for entry in self.entries if not _HYDRA.fullmatch(entry.key))

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key, if there is one."""
        return next((entry for entry in self.entries if entry.key == key), None)


def read(path: Path, name: str) -> ConfFile:
    """Read a file of conf/; ValueError where a line is of no known kind."""
    file = ConfFile(name, path.read_text())
    for number, line in enumerate(file.text.splitlines(), start=1):
        comment = re.fullmatch(r"(\s*)#\s?(.*)", line)
        last = file.entries[-1] if file.entries else None
        if comment and last is None:
            file.says.append(comment[2])
        elif comment and not comment[1]:
            file.note.append(comment[2])
        elif comment and last:
            last.says = f"{last.says} {comment[2].strip()}"
        elif not line.strip():
            continue
        elif line.startswith(" ") and last:  # inside of the key above
            last.value += f"\n{line}"
        elif match := _LINE.fullmatch(line):
            file.entries.append(Entry(match["key"], match["value"].strip(), match["says"] or ""))
        else:
            raise ValueError(f"{path}:{number}: cannot read {line!r}")
    return file


def files(group: str) -> list[ConfFile]:
    """Read the files of a group, by name."""
    folder = CONF / group
    paths = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return [read(path, path.relative_to(folder).with_suffix("").as_posix()) for path in paths]


# --- markdown ------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """Return a comment as markdown: literal characters, settings as code, references as links."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")
    text = _CODE.sub(_code, text)
    text = re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    text = re.sub(r"\b(\d{4}\.\d{5})(?!\S*[\])])", r"[\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"\bdocs/(\w+\.md)", r"[\1](../\1)", text)


def _code(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("`") else f"`{match[0]}`"


def table(prefix: str, entries: Sequence[Entry]) -> list[str]:
    """Set keys in a table."""
    rows = ["| key | default | |", "|---|---|---|"]
    for entry in entries:
        value = entry.value.split("\n")[0]
        default = f"`{value}`" if value else "(below)"
        rows.append(
            f"| `{prefix}{entry.key}` | {default.replace('|', '&#124;')} | {prose(entry.says)} |"
        )
    for entry in entries:
        if "\n" in entry.value:
            rows += [
                "",
                f"`{prefix}{entry.key}`:",
                "",
                "```yaml",
                *entry.value.strip("\n").split("\n"),
                "```",
            ]
    return rows


def section(group: str, file: ConfFile, prefix: str) -> list[str]:
    """Write one file of a group: its choice, its head, its keys."""
    lines = [f"## {group}={file.name}", "", prose(file.head), ""]
    if target := file.get("_target_"):
        made = f"`{target.value}`"
        if target.value.startswith("her_exp."):
            made = f"[{made}][{target.value}]"
        lines += [f"Made as {made}.", ""]
    return [*lines, *table(prefix, list(file.settings())), ""]


def group_page(group: str, says: str) -> str:
    """Write the page of a group whose files all stand side by side."""
    lines = [f"# {group}", "", says, ""]
    found = files(group)
    if len(found) > 1:
        lines += ["| choice | |", "|---|---|"]
        for file in found:
            lines.append(
                f"| [`{group}={file.name}`](#{anchor(f'{group}={file.name}')}) | {prose(first(file))} |"
            )
        lines.append("")
    for file in found:
        lines += section(group, file, f"{group}.")
    return "\n".join(lines)


def anchor(title: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-")


def first(file: ConfFile) -> str:
    """Return the first sentence of the head."""
    return re.split(r"\.\s+(?=[A-Z])|  \n", file.head)[0].rstrip(".").replace("\n", " ")


def index_page() -> str:
    """Write the page of the root: how files become a run, the keys of no group."""
    root = read(CONF / "config.yaml", "config")
    lines = [
        "# Configuration", "",
        "A run is composed of one file of each group below, changed by the words of its command line.",
        "These pages are written from the comments in `conf/`.",
        "`python -m her_exp.train --cfg job --resolve` shows what a command line amounts to, and",
        "`python -m her_exp.train --help` lists the choices. What else stands on a command line:",
        "[words of each command](words.md).", "",
        "## Groups", "", "| group | default | |", "|---|---|---|",
    ]  # fmt: skip
    defaults = root.get("defaults")
    assert defaults is not None
    for group, value, says in re.findall(r"- (\w+): (\w+)\s+# (.*)", defaults.value):
        page = "experiments" if group == "experiment" else group
        lines.append(f"| [`{group}=`]({page}.md) | `{value}` | {prose(says)} |")
    lines += ["", "## Keys of no group", "", *table("", list(root.settings())), ""]
    return "\n".join(lines)


# --- experiments ---------------------------------------------------------------------------------


def score(file: ConfFile) -> tuple[str, str]:
    """Return what an experiment must reach, and whether it was measured."""
    stated: Any = OmegaConf.to_container(OmegaConf.create(file.text))["score"]
    aim = stated.pop("success_final")
    measured = "no" if stated.pop("measured", True) is False else "yes"
    assert not stated, f"{file.name}: score has {stated}"
    return ("-" if aim is None else f"{aim:.0%}"), measured


def experiments_page() -> str:
    """Write the page of the experiments: commands, scores, and each file as it stands."""
    found = files("experiment")
    lines = [
        "# Experiments", "",
        "A named experiment sets several groups at once and states the score that its last policy must",
        "reach, on 200 goals that training never saw, with every seed; words given beside it win.",
        "*Measured: no* is an aim, or what a publication reports, and no result of this package.",
        "`python scripts/check_experiment.py nav2d seeds=0,1,2` trains one and says whether it reaches its",
        "score.", "",
        "| command | score | measured |", "|---|---|---|",
    ]  # fmt: skip
    for file in found:
        aim, measured = score(file)
        command = f"python -m her_exp.train experiment={file.name}"
        lines.append(f"| [`{command}`](#{anchor(file.name)}) | {aim} | {measured} |")
    for file in found:
        lines += ["", f"## {file.name}", "", prose(file.head), "", prose(" ".join(file.note)), ""]
        body = "\n".join(f"    {line}".rstrip() for line in file.text.rstrip().split("\n"))
        lines += [
            f'??? note "conf/experiment/{file.name}.yaml"',
            "",
            "    ```yaml",
            body,
            "    ```",
        ]
    return "\n".join([*lines, ""])


def hydra_page() -> str:
    """Write the page of what runs the jobs of a sweep, and what chooses them."""
    lines = [
        "# Launchers and sweepers",
        "",
        "What runs the jobs of a sweep, and what chooses their settings:",
    ]
    lines += ["[sweeps](../sweeps.md). They go with `-m`.", ""]
    for group, prefix in (
        ("hydra/launcher", "hydra.launcher."),
        ("hydra/sweeper", "hydra.sweeper."),
    ):
        for file in files(group):
            kind, _, name = file.name.rpartition("/")
            here = f"{group}/{kind}" if kind else group
            deeper = f"{prefix}{kind}." if kind else prefix
            lines += section(here, ConfFile(name, file.text, file.says, file.entries), deeper)
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return every page of the reference: its path below docs/, and its markdown."""
    return {
        "config/index.md": index_page(),
        "config/experiments.md": experiments_page(),
        "config/hydra.md": hydra_page(),
        "config/words.md": words_page(),
        **{f"config/{group}.md": group_page(group, says) for group, says in _GROUPS.items()},
    }
