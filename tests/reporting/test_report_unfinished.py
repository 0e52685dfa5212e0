"""Runs that are not done are listed in a report, and count for none of its numbers."""

from __future__ import annotations

import fcntl
from pathlib import Path

import numpy as np
import pytest

from her_exp.report import report
from tests.reporting.report_kit import FIGURES, data_of, make_run, table
from tests.reporting.report_reference import wide


def test_what_is_not_done_is_listed_and_not_counted(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for seed in range(3):
        make_run(root / f"done{seed}", seed)
    make_run(root / "failed", 3, status="failed", reason="train/critic_loss is nan")
    make_run(root / "stopped", 4, status="stopped", reason="SIGTERM")
    make_run(root / "killed", 5, status="running")
    (make_run(root / "gone", 6) / "result.json").unlink()
    make_run(root / "alive", 7, status="running")
    make_run(root / "hollow", 8, eval=None)
    (root / "lock").mkdir()
    (root / "lock/run.lock").touch()
    with (root / "alive/run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report(str(root))
    rows = {Path(row["folder"]).name: row for row in table(root / "report/runs.csv")}
    status = {name: row["status"] for name, row in rows.items()}
    assert status == {
        "done0": "done", "done1": "done", "done2": "done", "failed": "failed", "stopped": "stopped",
        "killed": "killed", "gone": "killed", "alive": "running", "hollow": "unreadable",
        "lock": "unreadable",
    }  # fmt: skip
    assert rows["failed"]["reason"] == "train/critic_loss is nan"
    counted = [name for name, row in rows.items() if row["counted"] == "True"]
    assert counted == ["done0", "done1", "done2"]
    (final,) = table(root / "report/final.csv")
    assert (final["seeds"], final["done"], final["runs"]) == ("3", "3", "9")
    scores = [wide(root / f"done{seed}")["eval/success_final"].iloc[-1] for seed in range(3)]
    assert float(final["iqm"]) == pytest.approx(np.mean(scores))
    page = (root / "report/index.html").read_text()
    for word in ("train/critic_loss is nan", "SIGTERM", "another process is at it", "holds no evaluation",
                 "Not part of any number: 7 of 10 runs"):  # fmt: skip
        assert word in page


def test_no_run_done_is_a_report_without_numbers(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0, status="failed", reason="broken")
    (final,) = (report(str(tmp_path / "s")), table(tmp_path / "s/report/final.csv"))[1]
    assert (final["seeds"], final["iqm"], final["success"]) == ("0", "", "")
    data = data_of(tmp_path / "s/report/index.html")
    assert {one["name"] for one in data["figures"]} == FIGURES - {"final", "improvement", "profile"}
    assert all(one["showlegend"] for figure in data["figures"] for one in figure["data"])
