"""Which runs of a report are one group, which groups its figures show, and what explains a setting."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from her_exp.config.compose import compose
from her_exp.report import report
from her_exp.reporting.explanations import explain
from her_exp.store.folder import flatten
from tests.reporting.report_kit import FIGURES, Rows, data_of, final_scores, make_run, sweep, table


def groups_in(root: Path) -> dict[str, int]:
    report(str(root))
    return {row["group"]: int(row["seeds"]) for row in table(root / "report" / "final.csv")}


@pytest.mark.parametrize(
    ("runs", "groups"),
    [
        (
            ["", "sweep=other trainer.progress=false agent=ddpg", "agent.gamma=0.9800"],
            {"point_reach, ddpg": 3},  # however they were spelled
        ),
        (
            ["", "agent=td3", "env=nav2d", "env=nav2d agent.gamma=0.9"],
            {
                "nav2d, ddpg, agent.gamma=0.9": 1,
                "nav2d, ddpg, agent.gamma=0.98": 1,
                "point_reach, ddpg": 1,
                "point_reach, td3": 1,
            },
        ),
        (["", "trainer.total_steps=9"], {f"trainer.total_steps={n}": 1 for n in (9, 6000)}),
        ([f"buffer.k={k}" for k in (10, 9, 1)], {f"buffer.k={k}": 1 for k in (1, 9, 10)}),
    ],
)
def test_a_group_is_equal_settings(runs: list[str], groups: Any, tmp_path: Path) -> None:
    for seed, words in enumerate(runs):
        make_run(tmp_path / "s" / str(seed), seed, overrides=words.split())
    assert list(groups_in(tmp_path / "s").items()) == list(groups.items())


def test_figures_show_the_eight_best_and_some_of_each_task(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=range(9), seeds=1)
    low: Rows = [(100, "eval/success_final", 0.0)]
    for k in (0, 1):
        make_run(tmp_path / f"s/other{k}", 0, k, overrides=["env=nav2d"], rows=low)
    assert len(groups_in(tmp_path / "s")) == 11
    out = tmp_path / "s/report"
    shown = {row["group"] for row in table(out / "success_steps.csv")}
    scores = {row["group"]: float(row["iqm"]) for row in table(out / "final.csv")}
    assert len(shown) == 8
    best = {one for one in shown if one.startswith("point")}
    assert len(best) == 6
    assert min(scores[one] for one in best) >= max(scores[one] for one in scores.keys() - shown)
    assert "Figures show the 8 best of 11 groups" in (out / "index.html").read_text()
    for row in table(out / "improvement.csv"):  # of one task; one seed has no interval
        assert (row["x"].split(",")[0], row["low"]) == (row["y"].split(",")[0], "")


def test_settings_are_explained_by_the_files_of_conf() -> None:
    for asked in ([], ["experiment=bit_flip"], ["env=nav2d", "agent=sac"]):
        settings = flatten(OmegaConf.to_container(compose(asked), resolve=True))  # type: ignore[arg-type]
        silent = settings.keys() - explain(settings).keys()
        assert [
            key for key in silent if "_target_" not in key and not key.startswith("score")
        ] == []


def test_what_is_not_done_is_listed_and_not_counted(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for seed in range(3):
        make_run(root / f"done{seed}", seed)
    make_run(root / "done2again", 2)  # a seed counts once
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
        "done0": "done", "done1": "done", "done2": "done", "done2again": "done", "failed": "failed",
        "stopped": "stopped", "killed": "killed", "gone": "killed", "alive": "running",
        "hollow": "unreadable", "lock": "unreadable",
    }  # fmt: skip
    assert rows["failed"]["reason"] == "train/critic_loss is nan"
    assert "same settings and seed as done2" in rows["done2again"]["warnings"]
    counted = [name for name, row in rows.items() if row["counted"] == "True"]
    assert counted == ["done0", "done1", "done2"]
    (final,) = table(root / "report/final.csv")
    assert (final["seeds"], final["done"], final["runs"]) == ("3", "4", "10")
    scores = final_scores([root / f"done{seed}" for seed in range(3)])
    assert float(final["iqm"]) == pytest.approx(scores.mean())
    page = (root / "report/index.html").read_text()
    assert "another process is at it" in page
    assert "Not part of any number: 8 of 11 runs" in page


def test_no_run_done_is_a_report_without_numbers(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0, status="failed", reason="broken")
    report(str(tmp_path / "s"))
    (final,) = table(tmp_path / "s/report/final.csv")
    assert (final["seeds"], final["iqm"], final["success"]) == ("0", "", "")
    data = data_of(tmp_path / "s/report/index.html")
    assert {one["name"] for one in data["figures"]} == FIGURES - {"final", "improvement", "profile"}
    assert all(one["showlegend"] for figure in data["figures"] for one in figure["data"])
