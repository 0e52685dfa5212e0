"""The pages of settings and words say of each what its file and `--help` say."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
from omegaconf import OmegaConf

from her_exp import CONF_DIR, evaluate, report
from her_exp.reporting.explanations import comments_of
from her_exp.run import WORDS, request
from tests.docs.docs_pages import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import config_pages

PAGES = {name[7:-3]: text for name, text in config_pages.pages().items()}  # config/*.md
GROUPS = ("env", "buffer", "agent", "trainer", "hydra/launcher", "hydra/sweeper")
FILES = [(group, file) for group in GROUPS for file in config_pages.files(group)]


@pytest.mark.parametrize(("group", "file"), FILES, ids=[f"{g}={f.name}" for g, f in FILES])
def test_every_key_with_its_default_and_a_word(group: str, file: config_pages.ConfFile) -> None:
    """As the file says them, as reports read them, and on the page."""
    values = OmegaConf.to_container(OmegaConf.create(file.text))
    assert isinstance(values, dict)
    assert [entry.key for entry in file.entries] == list(values)
    found, page = (
        comments_of(CONF_DIR / group / f"{file.name}.yaml"),
        PAGES[group.partition("/")[0]],
    )
    for entry in file.settings():
        told = OmegaConf.to_container(OmegaConf.create(f"it: {entry.value}"))
        assert told == {"it": values[entry.key]}
        assert entry.says, f"{group}={file.name}: {entry.key} has no comment"
        assert "\n" in entry.value or found[entry.key] == entry.says
        assert re.search(rf"^\| `[\w.]*\b{entry.key}` \| .+ \| .+ \|$", page, re.M), entry.key
    assert file.head


def test_every_key_of_the_root() -> None:
    for key in set(OmegaConf.load(CONF_DIR / "config.yaml")) - {"defaults", "hydra"}:
        assert f"| `{key}` |" in PAGES["index"]


def test_every_experiment_with_its_command_and_score() -> None:
    page = PAGES["experiments"]
    paths = sorted((CONF_DIR / "experiment").rglob("*.yaml"))
    for path in paths:
        name = path.relative_to(CONF_DIR / "experiment").with_suffix("").as_posix()
        score = OmegaConf.load(path).score
        aim = "-" if score.success_final is None else f"{score.success_final:.0%}"
        measured = "yes" if score.get("measured", True) else "no"
        row = f"| [`python -m her_exp.train experiment={name}`](#"
        (line,) = [line for line in page.splitlines() if line.startswith(row)]
        assert line.endswith(f"| {aim} | {measured} |")
        assert path.read_text().splitlines()[3] in page
    assert len(paths) == page.count("| [`python -m her_exp.train experiment=")


SECTIONS = dict(re.findall(r"^## python -m (\S+)\n(.*?)(?=^## |\Z)", PAGES["words"], re.M | re.S))


def rows(section: str) -> dict[str, list[str]]:
    """The words of a section's tables: each with its other cells."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", SECTIONS[section], re.M)
    return {word: [cell.strip() for cell in rest.split(" | ")] for word, rest in found}


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
