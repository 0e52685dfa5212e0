"""The documentation builds without a warning (of a broken link, say), and needs no network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.docs_pages import ROOT

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="mkdocs is not installed (extra docs)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def loads(page: Path) -> set[str]:
    """What a page of the site loads: scripts, pictures, style sheets; not what it links to."""
    tags = re.findall(r"<(?!a )[^>]*\b(?:src|href)=[^>]*>", page.read_text())
    other = re.compile(r'rel="?(?:canonical|next|prev)\b')
    found = [
        re.search(r'\b(?:src|href)="?([^">\s]+)', tag) for tag in tags if not other.search(tag)
    ]
    return {one.group(1) for one in found if one}


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    loaded = {load for page in site.rglob("*.html") for load in loads(page)}
    assert len(loaded) > 20
    assert [load for load in loaded if urlsplit(load).netloc] == []
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_a_notebook_is_a_page_with_its_pictures(site: Path) -> None:
    """Links to a notebook lead to its page; the notebook itself is there to be taken."""
    home = (site / "index.html").read_text()
    assert 'href="tutorial.html"' in home
    assert "tutorial.ipynb" not in home
    page = site / "tutorial.html"
    assert 'href="tutorial.ipynb"' in page.read_text()
    pictures = [load for load in loads(page) if load.endswith(".png")]
    assert len(pictures) >= 4
    assert all((site / name).is_file() for name in pictures)
    assert (site / "tutorial.ipynb").read_bytes() == (ROOT / "docs/tutorial.ipynb").read_bytes()
