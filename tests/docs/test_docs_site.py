"""The documentation builds without a warning, needs no network, and no link of it leads nowhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

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


class Links(HTMLParser):
    """What a page points to, what it loads, and the places in it that can be pointed to."""

    def __init__(self, path: Path):
        super().__init__()
        self.points: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        if tag == "a" and "href" in given:
            self.points.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])
        self.places |= {given[name] for name in ("id", "name") if name in given}


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path) for path in site.rglob("*.html")}


def targets(page: Path, links: list[str]) -> Iterator[tuple[str, Path, str]]:
    """Resolve the links of a page that stay on the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            yield link, path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def test_no_link_is_broken(pages: dict[Path, Links]) -> None:
    broken = []
    for page, links in pages.items():
        if page.name == "404.html":  # written for the root of a server
            continue
        for link, path, place in targets(page, links.points + links.loads):
            if not path.is_file():
                broken.append(f"{page.name}: {link}")
            elif place and path.suffix == ".html" and place not in pages[path].places:
                broken.append(f"{page.name}: {link}: no such place")
    assert broken == []
    assert sum(len(links.points) for links in pages.values()) > 1000


def test_nothing_is_loaded_from_a_network(site: Path, pages: dict[Path, Links]) -> None:
    loads = {load for links in pages.values() for load in links.loads}
    assert loads
    assert [load for load in loads if urlsplit(load).netloc] == []
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_every_page_is_in_the_nav(site: Path, pages: dict[Path, Links]) -> None:
    home = {path for _, path, _ in targets(site / "index.html", pages[site / "index.html"].points)}
    assert {path for path in pages if path.name != "404.html"} - home == set()


def test_a_notebook_is_a_page_with_its_pictures(site: Path, pages: dict[Path, Links]) -> None:
    """Links to a notebook lead to its page; the notebook itself is there to be taken."""
    page = site / "tutorial.html"
    assert "tutorial.html" in pages[site / "index.html"].points
    assert "tutorial.ipynb" not in pages[site / "index.html"].points
    assert "tutorial.ipynb" in pages[page].points
    assert [load for load in pages[page].loads if load.endswith(".png")]
    assert (site / "tutorial.ipynb").read_bytes() == (ROOT / "docs/tutorial.ipynb").read_bytes()
