"""The page of each command's words holds every word that the command knows, and what --help says of it."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest

from her_exp import evaluate, report
from her_exp.run import WORDS, request
from tests.docs.docs_pages import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import config_pages

PAGE = config_pages.pages()["config/words.md"]
SECTIONS = dict(re.findall(r"^## python -m (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def rows(section: str) -> dict[str, list[str]]:
    """The words of a section's tables: each with its other cells."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", SECTIONS[section], re.M)
    return {word: [cell.strip() for cell in rest.split(" | ")] for word, rest in found}


def test_a_word_to_be_filled_in_is_no_redirection() -> None:
    """What stands for a word of the reader's is written FOLDER: a shell takes <folder> for a file."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("conf/**/*.yaml")]
    code = [
        path
        for name in ("her_exp", "scripts", "hydra_plugins")
        for path in (ROOT / name).rglob("*.py")
    ]
    found = {
        f"{path.relative_to(ROOT)}: {match}"
        for path in [*pages, *code]
        for match in re.findall(r"[=/]<\w+>", path.read_text())
    }
    assert not found


def test_every_command_that_is_installed_has_a_section() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(SECTIONS) == [target.partition(":")[0] for target in scripts.values()]
    for name, target in scripts.items():
        assert f"`{name}`" in SECTIONS[target.partition(":")[0]]


@pytest.mark.parametrize("module", [evaluate, report])
def test_every_word_with_its_default(module: object) -> None:
    defaults = module.DEFAULTS  # type: ignore[attr-defined]
    table = rows(module.__name__)  # type: ignore[attr-defined]
    assert [word.partition("=")[0] for word in table] == list(defaults)
    for cells, default in zip(table.values(), defaults.values(), strict=True):
        text = "" if default is None else str(default).lower() if default is False else str(default)
        assert cells[0] == (f"`{text}`" if text else "-")
        assert len(cells[1]) > 10


def test_the_words_that_train_takes_off_its_command_line() -> None:
    table = rows("her_exp.train")
    assert [word.partition("=")[0] for word in table if "=" in word] == list(WORDS)
    for given in (["resume=auto", "run_dir=a", "trust=b"], ["rerun=a", "run_dir=a", "trust=b"]):
        asked = request([*given, "seed=1"])
        assert asked is not None
        assert asked.overrides == ["seed=1"]
    assert {"-m", "--cfg job", "--config-dir D", "--hydra-help"} <= set(table)
