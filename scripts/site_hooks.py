"""What mkdocs does beside building pages: those of conf/ and of notebooks, and sections of the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads this file alone
import config_pages
import notebook_pages

ROOT = Path(__file__).resolve().parents[1]
#: Pages of the nav that need not be there.
OPTIONAL = ("reproductions.md",)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave optional pages that are not there out of the nav."""
    assert config.nav is not None
    config.nav = _without(config.nav, {p for p in OPTIONAL if not (ROOT / "docs" / p).exists()})
    return config


def _without(nav: list[Any], absent: set[str]) -> list[Any]:
    """Return a nav without some pages, and without sections that they leave empty."""
    kept: list[Any] = []
    for item in nav:
        title, what = next(iter(item.items())) if isinstance(item, dict) else (None, item)
        if isinstance(what, list):
            what = _without(what, absent)
        if what and not (isinstance(what, str) and what in absent):
            kept.append({title: what} if title else what)
    return kept


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the configuration and those of notebooks."""
    made = {**config_pages.pages(), **notebook_pages.pages(ROOT / "docs")}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a section of the README where a page asks for it: <!-- README: its title -->.

    A link to a notebook leads to its page.
    """
    markdown = re.sub(r"<!-- README: (.+) -->", lambda match: readme(match[1]), markdown)
    return re.sub(r"(\]\([\w./]+)\.ipynb\)", r"\1.md)", markdown)


def readme(title: str) -> str:
    """Return a section of the README without its heading, its links as seen from docs/."""
    text = (ROOT / "README.md").read_text()
    sections = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    if title not in sections:
        raise KeyError(f"README.md has no section {title!r}; there are {', '.join(sections)}")
    return re.sub(r"\]\(docs/", "](", sections[title].rstrip())
