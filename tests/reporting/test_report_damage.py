"""What is damaged in a run folder is named, what is hostile harms nothing, and the report goes on."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.reporting.report_kit import Rows, curve, data_of, draw, make_run, table

for name in ("plotly", "matplotlib"):
    pytest.importorskip(name)

from her_exp.report import report  # noqa: E402
from her_exp.reporting import runs as reading  # noqa: E402

# --- damaged -----------------------------------------------------------------------------------


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGE: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "empty config": (lambda p: (p / "config.yaml").write_text(""), "config.yaml cannot be read", False),
    "config that is a list": (lambda p: (p / "config.yaml").write_text("[1]"), "config.yaml", False),
    "half a config": (lambda p: (p / "config.yaml").write_text("a: [1"), "config.yaml", False),
    "endless config": (
        lambda p: (p / "config.yaml").write_text(
            "".join(f"{b}: &{b} {{x: *{a}, y: *{a}, z: *{a}}}\n" for a, b in pairwise("abcdefghijklmnop"))
            .replace("*a", "1")
        ), "config.yaml cannot be read (has aliases)", False,
    ),
    "endless list": (
        lambda p: (p / "config.yaml").write_text(
            "a: &a [1, 1]\n"
            + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst"))
        ), "config.yaml cannot be read (has aliases)", False,
    ),
    "config of very many values": (
        lambda p: (p / "config.yaml").write_text("".join(f"x{i}: 1\n" for i in range(10_001))),
        "config.yaml cannot be read (more than 10,000 values)", False,
    ),
    "config that holds itself": (
        lambda p: (p / "config.yaml").write_text("a: &a\n  b: *a\n"), "config.yaml cannot be read", False
    ),
    "no config": (lambda p: (p / "config.yaml").unlink(), "config.yaml is missing", False),
    "half a result": (lambda p: cut(p / "result.json", 40), "result.json cannot be read", False),
    "result that is a number": (lambda p: (p / "result.json").write_text("7"), "result.json", False),
    "binary story": (lambda p: (p / "run.json").write_bytes(b"\xff\x00"), "run.json cannot be", True),
    "half a row": (lambda p: cut(p / "metrics.csv", -5), "metrics.csv: 1 damaged line left out", True),
    "two bad rows": (
        lambda p: (p / "metrics.csv").write_text(
            (p / "metrics.csv").read_text() + "x,eval/success_final,1\n700,eval/success_final\n"
        ), "metrics.csv: 2 damaged lines left out", True,
    ),
    "no head": (
        lambda p: (p / "metrics.csv").write_text("1,eval/success_final,1\n"),
        "metrics.csv cannot be read (does not begin with", True,
    ),
    "binary metrics": (
        lambda p: (p / "metrics.csv").write_bytes(bytes(range(256)) * 9), "metrics.csv cannot be", True
    ),
    "no metrics": (lambda p: (p / "metrics.csv").unlink(), "metrics.csv is missing", True),
    "metrics that are a folder": (
        lambda p: ((p / "metrics.csv").unlink(), (p / "metrics.csv").mkdir()), "metrics.csv cannot", True
    ),
}  # fmt: skip


@pytest.mark.usefixtures("no_png")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_the_rest_goes_on(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm, line, counts = DAMAGE[kind]
    for seed in range(3):
        make_run(tmp_path / "s" / f"run{seed}", seed)
    harm(tmp_path / "s/run1")
    page = report(str(tmp_path / "s"))
    said = capsys.readouterr().err
    assert f"her_exp: warning: {tmp_path}/s/run1: " in said
    assert line in said
    assert len(said.splitlines()) == 1
    assert f"/run1: {line}" in unescape(page.read_text())
    (final,) = table(tmp_path / "s/report/final.csv")
    assert final["seeds"] == ("3" if counts else "2")
    assert {Path(row["folder"]).name for row in table(tmp_path / "s/report/runs.csv")} == {
        "run0", "run1", "run2"
    }  # fmt: skip


def test_what_a_run_is_writing_is_no_damage(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "s/a", status="running")
    cut(folder / "metrics.csv", -3)
    with (folder / "run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = reading.read(folder)
    assert (run.status, run.problems) == ("running", [])
    assert len(run.points("time/train_s")[0]) == 4  # the last line is not taken either


@pytest.mark.usefixtures("no_png")
def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    for name in (
        "run.json",
        "config.yaml",
        "metrics.csv",
        "run.log",
        "run.lock",
        "paths_last.png",
    ):
        folder = make_run(tmp_path / "s" / name, 0, status="running")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    (tmp_path / "s/run.json/result.json").unlink()
    (tmp_path / "s/run.json/result.json").symlink_to("/dev/zero")
    report(str(tmp_path / "s"))
    rows = {Path(row["folder"]).name: row for row in table(tmp_path / "s/report/runs.csv")}
    assert len(rows) == 6
    assert (
        "run.json cannot be read (no file); result.json cannot be read (no file)"
        in (rows["run.json"]["warnings"])
    )


def test_any_text_can_be_written(tmp_path: Path) -> None:
    """Names that are no UTF-8, half a surrogate pair, signs that a font does not have, a dollar."""
    for seed in range(2):
        folder = make_run(
            Path(os.fsdecode(os.fsencode(tmp_path / "s") + b"/run\xff%d" % seed)), seed
        )
        config = folder / "config.yaml"
        text = f'strategy: "\\0 $x_{{{seed}}}$ \u4e2d"'
        config.write_text(config.read_text().replace("strategy: future", text))
        (folder / "result.json").write_text(
            (folder / "result.json").read_text().replace("null", '"\\ud83d"')
        )
    page = report(str(tmp_path / "s")).read_text()
    assert "<td>run?0</td>" in page
    labels = [row["group"] for row in table(tmp_path / "s/report/final.csv")]
    assert [label[-7:] for label in labels] == ["x_{0}$ \u4e2d"[-7:], "x_{1}$ \u4e2d"[-7:]]


@pytest.mark.usefixtures("no_png")
def test_much_damage_is_told_in_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(25):
        cut(make_run(tmp_path / "s" / f"run{seed:02}", seed) / "result.json", 40)
    report(str(tmp_path / "s"))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21
    assert said[-1] == "her_exp: warning: and 5 more, see runs.csv"
    rows = table(tmp_path / "s/report/runs.csv")
    assert all("result.json cannot be read" in row["warnings"] for row in rows)


def test_half_a_number_is_no_number(tmp_path: Path) -> None:
    """0.6 may be what is left of 0.63."""
    rows: Rows = [*curve(0, 4), (600, "eval/success_final", 0.63)]
    folder = make_run(tmp_path / "s/a", rows=rows)
    cut(folder / "metrics.csv", -3)
    assert (folder / "metrics.csv").read_text().endswith("eval/success_final,0.6")
    run = reading.read(folder)
    assert run.points("eval/success_final")[0].tolist() == [100, 200, 300, 400, 500]
    assert run.problems == ["metrics.csv: 1 damaged line left out"]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    rows = [*curve(0, 4), (600, "train/q_mean", math.nan), (700, "train/q_mean", math.inf)]
    folder = make_run(tmp_path / "s/a", rows=rows)
    run = reading.read(folder)
    assert (run.points("train/q_mean")[0].max(), run.problems) == (500, [])


@pytest.mark.usefixtures("no_png")
@pytest.mark.parametrize(
    "result",
    [
        {"eval": 3}, {"eval": {"success_final": "high"}}, {"eval": {"success_final": 10**400}},
        {"eval": {"success_final": 0.5, "episodes": -7}}, {"reached": [1]}, {"env_steps": {}},
        {"reached": {"0.95": {"env_steps": "many"}}}, {"status": ["done"]}, {"reason": {"a": 1}},
    ],
)  # fmt: skip
def test_results_of_another_shape_end_nothing(result: dict[str, object], tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 1, **result)
    report(str(tmp_path / "s"))
    assert len(table(tmp_path / "s/report/runs.csv")) == 2


# --- hostile -----------------------------------------------------------------------------------


def test_a_run_folder_cannot_put_a_script_on_the_page(tmp_path: Path) -> None:
    evil = "' \" onload=alert(4) </script><script>alert(1)</script><img src=x onerror=alert(1)>"
    name = "<script>alert(2)<img onerror=alert(3)>"
    for seed, k in ((0, 0), (1, 4)):
        folder = make_run(tmp_path / "s" / f"{name}{seed}", seed, k)
        cfg = yaml.safe_load((folder / "config.yaml").read_text())
        cfg["buffer"]["strategy"] = cfg[evil] = f"{evil}{seed}"
        cfg["env"]["name"] = evil
        (folder / "config.yaml").write_text(yaml.safe_dump(cfg))
        story = json.loads((folder / "run.json").read_text())
        story |= dict.fromkeys(("command", "started", "ended", "git_commit"), evil)
        story |= {"versions": {evil: evil}, "machine": {evil: evil}}
        (folder / "run.json").write_text(json.dumps(story))
        (folder / "run.log").write_text(f"[2026][WARNING] {evil}\n")
        draw(folder, 9)
    make_run(tmp_path / "s/c", 2, status=evil, reason=evil)
    page = report(f"[{tmp_path}/s]").read_text()
    scripts = [part.partition(">")[0] for part in page.split("<script")[1:]]
    assert scripts[0] == ' type="application/json" id="report-data"'
    assert page.count("</script>") == 3
    assert "alert(1)</script>" not in page
    head = page.split("<script")[0]
    for word in ("<img src=x", "<script>", "onerror=alert(1)>", '" onload', "' onload"):
        assert word not in head
    assert "&lt;script&gt;" in head
    assert head.count('<img alt="paths of ') == 2
    for figure in data_of(tmp_path / "s/report/index.html")["figures"]:
        for trace in figure["data"]:  # plotly reads a kind of HTML itself
            assert "<" not in trace["name"].replace("<br>", "")
    assert "script-src 'sha256-" in head
    assert "unsafe-inline" not in head.partition("script-src")[2].partition(";")[0]
