"""A report in a real browser, as narrow as a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.reporting.report_kit import FIGURES, draw, make_run, sweep

pytest.importorskip("selenium")

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

from her_exp.report import report

CHROMIUM, DRIVER = (
    shutil.which("chromium") or shutil.which("google-chrome"),
    shutil.which("chromedriver"),
)
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver on this machine"
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTH = 390


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    root = sweep(tmp_path_factory.mktemp("page") / "s", ks=(0, 4), seeds=4)
    make_run(root / "failed", 9, 4, status="failed", reason="a long reason " * 30)
    draw(root / "buffer.k=4,seed=0_40", 77)
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(DRIVER))
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get(report(str(root)).as_uri())
    WebDriverWait(chrome, 60).until(lambda _: chrome.execute_script(
        "return document.querySelectorAll('.plot .main-svg').length >= "
        "2 * document.querySelectorAll('.plot').length"
    ))  # fmt: skip
    yield chrome
    chrome.quit()


def test_every_figure_is_drawn_without_an_error(opened: Chrome) -> None:
    assert opened.get_log("browser") == []
    figures = opened.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.id, p.data.length, "
        "p.querySelectorAll('.scatterlayer .trace path, .shapelayer path').length, p.clientWidth])"
    )
    assert len({name for name, *_ in figures}) == len(FIGURES)
    for name, traces, paths, wide in figures:
        assert paths >= traces > 0, name
        assert 250 < wide < WIDTH
    assert opened.execute_script("return [...document.images].every(i => i.naturalWidth > 0)")
    for script in ("", "document.querySelectorAll('details').forEach(d => { d.open = true });"):
        wide = opened.execute_script(script + "return document.documentElement.scrollWidth")
        assert wide <= WIDTH  # no wider than the screen; wide tables scroll in a box of their own
    fetched = opened.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []
