"""What is damaged in a run folder is named, what is hostile harms nothing, and the report goes on."""

from __future__ import annotations

import copy
import fcntl
import json
import math
import os
from collections.abc import Callable
from functools import reduce
from html import unescape
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml

from her_exp.report import command, report
from her_exp.reporting.runs import read
from her_exp.store.folder import flatten
from tests.reporting.report_kit import curve, data_of, draw, make_run, table

#: The file, what becomes of its bytes, what is said, and whether the run still counts.
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes] | None, str, bool]] = {
    "half a config": ("config.yaml", lambda _: b"a: [1", "config.yaml cannot be read", False),
    "no config": ("config.yaml", None, "config.yaml is missing", False),
    "a number": ("result.json", lambda _: b"7", "result.json", False),
    "half a result": ("result.json", lambda b: b[:40], "result.json cannot be read", False),
    "binary story": ("run.json", lambda _: b"\xff\x00", "run.json cannot be", True),
    # What is left of 0.63 may be 0.6.
    "half a row": ("metrics.csv", lambda b: b[:-3], "metrics.csv: 1 damaged line left out", True),
    "rows": ("metrics.csv", lambda b: b + b"x,train/q_mean,1\n7,a\n", ": 2 damaged lines", True),
    "no head": ("metrics.csv", lambda _: b"1,a,1\n", "cannot be read (does not begin with", True),
    "no metrics": ("metrics.csv", None, "metrics.csv is missing", True),
}  # fmt: skip


def test_damage_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, (kind, (name, change, *_)) in enumerate(DAMAGE.items()):
        path = make_run(tmp_path / "s" / kind, seed) / name
        path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    page = unescape(report(str(tmp_path / "s")).read_text())
    begin = f"her_exp: warning: {tmp_path}/s/"
    lines = [
        line.removeprefix(begin).split(": ", 1) for line in capsys.readouterr().err.splitlines()
    ]
    said = dict(lines)
    rows = {Path(row["folder"]).name: row for row in table(tmp_path / "s/report/runs.csv")}
    assert said.keys() == rows.keys() == DAMAGE.keys()
    for kind, (_, _, line, counts) in DAMAGE.items():
        assert line in said[kind]
        assert said[kind] in page
        assert rows[kind]["counted"] == str(counts)


def test_what_is_being_written_and_what_is_not_finite_are_left_out(tmp_path: Path) -> None:
    rows = [(600, "train/q_mean", math.nan), (700, "train/q_mean", math.inf)]
    rows = [*curve(0, 4), *rows, (800, "train/q_mean", 0.63)]
    folder = make_run(tmp_path / "s/a", rows=rows, status="running")
    path = folder / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-3])
    with (folder / "run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = read(folder)
    assert (run.status, run.problems) == ("running", [])
    assert run.points("train/q_mean")[0].tolist() == [100, 200, 300, 400, 500]


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    names = ("run.json", "config.yaml", "metrics.csv", "run.log", "run.lock", "paths_last.png")
    for name in names:
        folder = make_run(tmp_path / "s" / name, 0, status="running")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    (tmp_path / "s/run.json/result.json").unlink()
    (tmp_path / "s/run.json/result.json").symlink_to("/dev/zero")
    report(str(tmp_path / "s"))
    rows = {Path(row["folder"]).name: row for row in table(tmp_path / "s/report/runs.csv")}
    assert rows.keys() == set(names)
    told = "run.json cannot be read (no file); result.json cannot be read (no file)"
    assert told in rows["run.json"]["warnings"]


@pytest.mark.usefixtures("pictures")
def test_any_text_can_be_written(tmp_path: Path) -> None:
    """Names that are no UTF-8, half a surrogate pair, signs that a font does not have, a dollar."""
    for seed in range(2):
        name = os.fsencode(tmp_path / "s") + b"/run\xff%d" % seed
        folder = make_run(Path(os.fsdecode(name)), seed)
        text = f'strategy: "\\0 $x_{{{seed}}}$ \u4e2d"'
        for file, was, now in (
            ("config.yaml", "strategy: future", text),
            ("result.json", "null", '"\\ud83d"'),
        ):
            (folder / file).write_text((folder / file).read_text().replace(was, now))
    page = report(str(tmp_path / "s")).read_text()
    assert "<td>run?0</td>" in page
    labels = [row["group"] for row in table(tmp_path / "s/report/final.csv")]
    assert [label[-7:] for label in labels] == ["_{0}$ \u4e2d", "_{1}$ \u4e2d"]
    pictures = [path.read_bytes() for path in (tmp_path / "s/report").glob("*.png")]
    assert min(int.from_bytes(png[16:20], "big") for png in pictures) > 500  # pixels of width


def test_much_damage_is_told_in_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(25):
        (make_run(tmp_path / "s" / f"run{seed:02}", seed) / "result.json").write_text("{")
    report(str(tmp_path / "s"))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21
    assert said[-1] == "her_exp: warning: and 5 more, see runs.csv"
    rows = table(tmp_path / "s/report/runs.csv")
    assert all("result.json cannot be read" in row["warnings"] for row in rows)


def test_a_run_folder_cannot_put_a_script_on_the_page(tmp_path: Path) -> None:
    evil = "' \" onload=alert(4) </script><script>alert(1)</script><img src=x onerror=alert(1)>"
    for k in (0, 4):
        folder = make_run(tmp_path / "s" / f"<script>alert(2)<img onerror=alert(3)>{k}", k=k)
        cfg = yaml.safe_load((folder / "config.yaml").read_text())
        cfg["buffer"]["strategy"] = cfg[evil] = f"{evil}{k}"
        cfg["env"]["name"] = evil
        (folder / "config.yaml").write_text(yaml.safe_dump(cfg))
        story = dict.fromkeys(("command", "started", "ended", "git_commit"), evil)
        story |= {"versions": {evil: evil}, "machine": {evil: evil}}
        (folder / "run.json").write_text(json.dumps(story))
        (folder / "run.log").write_text(f"[2026][WARNING] {evil}\n")
        draw(folder, 9)
    make_run(tmp_path / "s/c", 2, status=evil, reason=evil)
    page = report(f"[{tmp_path}/s]").read_text()
    assert page.count("</script>") == 3
    assert "alert(1)</script>" not in page
    head = page.partition("<script")[0]
    for word in ("<img src=x", "onerror=alert(1)>", '" onload', "' onload"):
        assert word not in head
    assert "&lt;script&gt;" in head
    for figure in data_of(tmp_path / "s/report/index.html")["figures"]:
        for trace in figure["data"]:  # plotly reads a kind of HTML itself
            assert "<" not in trace["name"].replace("<br>", "")
    assert "script-src 'sha256-" in head
    assert "unsafe-inline" not in head.partition("script-src")[2].partition(";")[0]


#: Each in the place of some leaf of some file, others in each report.
ODD = [
    None, -3, 1e308, 10**400, float("inf"), "\x1b[2J\n\r", "=cmd|' /C calc'!A0", "x" * 5000,
    [1, [None]], {"a": {"b": [None]}}, "${oc.env:SECRET}",
]  # fmt: skip


def changed(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with another value of a dotted key."""
    *above, last = key.split(".")
    whole = copy.deepcopy(content)
    reduce(getitem, above, whole)[last] = value
    return whole


@pytest.mark.parametrize("first", range(0, 11, 3))
def test_the_page_of_the_others_stands(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    root = tmp_path / "s"
    make_run(root / "good0", 0)
    make_run(root / "good1", 1)
    report(str(root))
    (alone,) = table(root / "report" / "final.csv")
    lost = [(9, "eval/success_final", 0.0)]
    for name in ("config.yaml", "run.json", "result.json"):
        made = make_run(tmp_path / name, 5, overrides=["env=nav2d"]) / name
        content = yaml.safe_load(made.read_text())  # it reads JSON, too
        for number, key in enumerate(dict.fromkeys([*content, *flatten(content)])):
            bad = make_run(root / f"{name}{number}", number + 5, overrides=["env=nav2d"], rows=lost)
            odd = ODD[(first + number) % len(ODD)]
            dump = yaml.safe_dump if name == "config.yaml" and odd != 10**400 else json.dumps
            (bad / name).write_text(dump(changed(content, key, odd)))
    assert command([f"runs={root}"]) == 0
    page = root / "report/index.html"
    rows = table(root / "report" / "final.csv")
    same = ("seeds", "success", "iqm", "steps_to_95")
    assert [row for row in rows if all(row[key] == alone[key] for key in same)]
    out, err = capsys.readouterr()
    everything = page.read_text() + "".join(p.read_text() for p in page.parent.glob("*.csv"))
    assert "hunter2" not in everything + out + err
    assert all(line.isprintable() for line in [*out.splitlines(), *err.splitlines()])
    assert all(len(line) < 200 for line in out.splitlines())
    for file in page.parent.glob("*.csv"):
        assert not any(cell.startswith(("=", "@")) for row in table(file) for cell in row.values())
