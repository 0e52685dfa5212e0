"""A report in a real browser: drawn and clicked, on a wide screen and on a phone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.report_kit import draw, make_run, sweep

pytest.importorskip("selenium")

from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService

from her_exp.report import report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver on this machine"),
]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (1280, 390)
Open = Callable[[Path, int], Chrome]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = sweep(tmp_path_factory.mktemp("page") / "s", ks=(0, 4), seeds=4)
    make_run(root / "failed", 9, 4, status="failed", reason="a long reason " * 30)
    draw(root / "buffer.k=4,seed=0_40", 77)
    return report(str(root))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(DRIVER))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture
def opened(browser: Chrome) -> Open:
    def open_page(path: Path, width: int) -> Chrome:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get_log("browser")
        browser.get(path.as_uri())
        until(lambda: browser.execute_script(
            "return document.querySelectorAll('.plot .main-svg').length >= "
            "2 * document.querySelectorAll('.plot').length"
        ))  # fmt: skip
        return browser

    return open_page


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value
    return value


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_without_an_error(page: Path, opened: Open, width: int) -> None:
    chrome = opened(page, width)
    assert chrome.get_log("browser") == []
    figures = chrome.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.id, p.data.map(t => "
        "[t.y.filter(v => v !== null).length, t.x.filter(v => v !== null).length]),"
        "p.querySelectorAll('.scatterlayer .trace path, .shapelayer path').length, p.clientWidth])"
    )
    names = {name for name, *_ in figures}
    assert len(names) == 11
    for name, traces, paths, wide in figures:
        assert traces, name
        assert all(y and x for y, x in traces), name
        assert paths >= len(traces), name
        assert 250 < wide < width
    assert chrome.execute_script("return [...document.images].every(i => i.naturalWidth > 0)")
    for script in ("", "document.querySelectorAll('details').forEach(d => { d.open = true });"):
        wide = chrome.execute_script(script + "return document.documentElement.scrollWidth")
        assert wide <= width  # no wider than the screen; wide tables scroll in a box of their own
    head, card = chrome.execute_script(
        "return ['header thead', 'header .box'].map(one => document.querySelector(one).clientWidth)"
    )
    assert 0 < card == head
    # The label of a row hides the lines below it.
    shown = chrome.execute_script(
        "return [...document.querySelectorAll('#figure-improvement .annotation .bg')].map(one => "
        "[getComputedStyle(one).fill, getComputedStyle(one).fillOpacity])"
    )
    assert shown == [["rgb(255, 255, 255)", "1"]]
    fetched = chrome.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []


def test_a_click_on_the_legend_hides_the_whole_group(page: Path, opened: Open) -> None:
    chrome = opened(page, 1280)
    place = chrome.find_element("id", "figure-success_steps")
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)

    def visible() -> dict[str, list[bool]]:
        pairs = chrome.execute_script(
            "return arguments[0]._fullData.map(t => [t.name, t.visible === true])", place
        )
        return {label: [seen for name, seen in pairs if name == label] for label, _ in pairs}

    first, second = "buffer.k=0 (n=4) †", "buffer.k=4 (n=4) †"
    assert visible() == {first: [True] * 3, second: [True] * 3}
    toggles = place.find_elements("css selector", ".legendtoggle")
    assert len(toggles) == 2
    for wanted in (False, True):
        ActionChains(chrome).move_to_element(toggles[1]).click().perform()
        until(lambda wanted=wanted: visible()[second] == [wanted] * 3)
        assert visible()[first] == [True] * 3
        toggles = place.find_elements("css selector", ".legendtoggle")
        time.sleep(0.4)  # two clicks at once would be a double click
