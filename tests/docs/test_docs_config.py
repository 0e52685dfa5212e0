"""The configuration reference says of every key of every file what the file itself says."""

from __future__ import annotations

import re
import sys

import pytest
from omegaconf import OmegaConf

from her_exp import CONF_DIR
from her_exp.reporting.explanations import comments_of
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
