"""The configuration reference says of every key of every file what the file itself says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from her_exp import CONF_DIR
from her_exp.reporting.explanations import comments_of
from tests.docs.docs_pages import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import config_pages

GROUPS = ("env", "buffer", "agent", "trainer", "hydra/launcher", "hydra/sweeper")
FILES = [(group, file) for group in GROUPS for file in config_pages.files(group)]


@pytest.mark.parametrize(("group", "file"), FILES, ids=[f"{g}={f.name}" for g, f in FILES])
def test_every_key_with_its_default_and_a_word(group: str, file: config_pages.ConfFile) -> None:
    values = OmegaConf.to_container(OmegaConf.create(file.text))
    assert isinstance(values, dict)
    assert [entry.key for entry in file.entries] == list(values)
    for entry in file.settings():
        assert (
            OmegaConf.to_container(OmegaConf.create(f"it: {entry.value}"))["it"]
            == values[entry.key]
        )
        assert entry.says, f"{group}={file.name}: {entry.key} has no comment"
    assert file.head


@pytest.mark.parametrize(("group", "file"), FILES, ids=[f"{g}={f.name}" for g, f in FILES])
def test_reports_read_the_same_comments(group: str, file: config_pages.ConfFile) -> None:
    found = comments_of(CONF_DIR / group / f"{file.name}.yaml")
    said = {entry.key: entry.says for entry in file.settings() if "\n" not in entry.value}
    assert {key: found.get(key, "") for key in said} == said


def test_the_pages_show_them_all() -> None:
    pages = config_pages.pages()
    for group, file in FILES:
        page = pages[f"config/{group.partition('/')[0]}.md"]
        for entry in file.settings():
            assert re.search(rf"^\| `[\w.]*\b{entry.key}` \| .+ \| .+ \|$", page, re.M), entry.key
    root = OmegaConf.load(CONF_DIR / "config.yaml")
    for key in set(root) - {"defaults", "hydra"}:
        assert f"| `{key}` |" in pages["config/index.md"]


def test_every_experiment_with_its_command_and_score() -> None:
    page = config_pages.pages()["config/experiments.md"]
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


def test_a_line_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\n- b\n")
    with pytest.raises(ValueError, match=r"x.yaml:2: cannot read '- b'"):
        config_pages.read(path, "x")
