"""The pages of settings say of each what its file says; who writes the page of words compares those."""

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

PAGES = "\n".join(config_pages.pages().values())  # config/*.md
GROUPS = ("", "env", "buffer", "agent", "trainer", "hydra/launcher", "hydra/sweeper")


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_has_a_word_and_a_row(group: str) -> None:
    """The word of its file, as reports read it; with its default."""
    files = (
        config_pages.files(group)
        if group
        else [config_pages.read(CONF_DIR / "config.yaml", "config")]
    )
    for file in files:
        values = OmegaConf.to_container(OmegaConf.create(file.text))
        found = comments_of(CONF_DIR / group / f"{file.name}.yaml")
        assert [entry.key for entry in file.entries] == [*values]
        assert file.head
        for entry in file.settings():
            told = OmegaConf.to_container(OmegaConf.create(f"it: {entry.value}"))
            assert told == {"it": values[entry.key]}
            assert entry.says, f"{group}={file.name}: {entry.key} has no comment"
            assert "\n" in entry.value or found[entry.key] == entry.says
            assert re.search(rf"^\| `[\w.]*\b{entry.key}` \| .+ \| .+ \|$", PAGES, re.M), entry.key
