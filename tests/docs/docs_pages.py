"""The pages of the documentation as tests see them: their commands, their files, their code."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What a line that is a command begins with.
PROGRAMS = r"(?:PYTHONPATH=scripts )?(?:python3?|pip|make|tensorboard|her-\w+|ray|\w+/bin/\w+) "
#: What stands before words that are overrides alone.
OURS = ["python", "-m", "her_exp.train"]
_OVERRIDE = re.compile(r"[+~]{0,2}[\w./]+=\S+")


@dataclass
class Command:
    """A command of a page, as it is pasted and in words, and what the page says that it answers."""

    page: Path
    pasted: str
    words: list[str]
    said: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def through_a_shell(self, folder: Path) -> list[str]:
        """Paste it into a real shell that stands in `folder`; returns what its program was given.

        What matches no file is an error, as in zsh. The shell finds no program but its own `printf`.
        """
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-O", "failglob", "-c", f"printf '%s\\0' {self.pasted}"],
            cwd=folder, env={"PATH": ""}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), f"{name_of(self.page)}: {self.pasted}"
        return done.stdout.split("\0")[:-1]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[Command]:
    """Return the commands of a page, in order: its blocks first, then those inside of sentences."""
    # Blocks of another language hold none.
    text = re.sub(
        r"^```(?!bash$|sh$|console$|text$|$).*?^```$", "", page.read_text(), flags=re.M | re.S
    )
    found = list(_standing_alone(page, text))
    seen = {command.text for command in found}
    prose = re.sub(r"(?s:^```.*?^```)|^    .*", "", text, flags=re.M)
    for code in dict.fromkeys([*re.findall(rf"`({PROGRAMS}[^`\n]+)`", prose), *_columns(prose)]):
        command = _command(page, code)
        if command.text not in seen and "..." not in code:
            found.append(command)
    return found


def _standing_alone(page: Path, text: str) -> Iterator[Command]:
    """Walk the commands of blocks, indented or fenced; what follows a prompt is its answer."""
    answered: Command | None = None
    for line in text.replace("\\\n", " ").splitlines():
        line = line.removeprefix("    ")
        prompt, line = line.startswith("$ "), line.removeprefix("$ ")
        words = _words(line)
        if re.match(PROGRAMS, line) or words[:3] == OURS:
            command = _command(page, line)
            answered = command if prompt else None
            yield command
        elif not line or line.startswith("```"):
            answered = None
        elif answered:
            answered.said.append(line)


def _command(page: Path, line: str) -> Command:
    words = _words(line)
    alone = words[:3] == OURS and not line.startswith(OURS[0])
    return Command(page, " ".join([*OURS, line]) if alone else line, words)


def _words(line: str) -> list[str]:
    """Split a command line; words of overrides alone are an experiment's."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # prose with an apostrophe
        return []
    if words and all(map(_OVERRIDE.fullmatch, words)):
        return [*OURS, *words]
    return words


def _columns(text: str) -> Iterator[str]:
    """Code in the column of a table that is headed "command"."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
        if "command" in rows[0]:
            column = rows[0].index("command")
            for row in rows[2:]:
                yield from re.findall(r"`([^`]+)`", row[column])


def files(page: Path) -> dict[str, str]:
    """Return the files that a page asks for: a block whose first line is the file's name."""
    pattern = r"^```\w+\n# (my_\w+/[\w/]+\.\w+)\n(.*?)^```"
    return dict(re.findall(pattern, page.read_text(), re.M | re.S))


def programs(page: Path) -> list[str]:
    """Return the Python blocks of a page that are no files."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    return [text for text in found if not text.startswith("# my_")]
