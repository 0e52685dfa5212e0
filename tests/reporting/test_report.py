"""A whole report: its numbers by direct computation, and all its parts."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from her_exp.report import report
from her_exp.store.find import find, home
from her_exp.training.evaluation import wilson_interval
from her_exp.types import UserError
from tests.reporting.report_kit import (
    FIGURES,
    curve,
    data_of,
    files_of,
    final_scores,
    interpolated,
    interval,
    line_of,
    make_run,
    numbers,
    sweep,
    table,
    trimmed,
    wide,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of three groups of 5 seeds, whose IQM is no mean; one of more episodes."""
    root = sweep(tmp_path_factory.mktemp("made") / "s", ks=(0, 4), seeds=5)
    for seed in range(5):
        make_run(root / f"k=8,{seed}", seed, 8, rows=curve(seed, 8, 26 + seed, episodes=40))
    report(str(root))
    return root


def groups_of(root: Path) -> dict[int, list[Path]]:
    """The run folders of each `buffer.k`, by seed."""
    return {k: sorted(root.glob(f"*k={k},*")) for k in (0, 4, 8)}


def test_final_table_is_that_of_the_runs_own_files(root: Path) -> None:
    rows = table(root / "report" / "final.csv")
    assert [row["group"] for row in rows] == [f"buffer.k={k}" for k in groups_of(root)]
    for row, folders in zip(rows, groups_of(root).values(), strict=True):
        scores = final_scores(folders)
        results = [json.loads((path / "result.json").read_text()) for path in folders]
        episodes = [one["eval"]["episodes"] for one in results]
        n, wins = sum(episodes), round(scores @ episodes)
        told = [float(row[key]) for key in ("success", "success_low", "success_high")]
        assert told == [wins / n, *wilson_interval(wins, n)]
        assert float(row["iqm"]) == pytest.approx(trimmed(scores), abs=1e-14)
        ends = float(row["iqm_low"]), float(row["iqm_high"])
        assert ends == pytest.approx(interval(trimmed, scores))
        assert [float(word) for word in row["each_seed"].split("; ")] == scores.tolist()
        assert row["seeds"] == row["done"] == row["runs"] == str(len(folders))
        for key in ("env_steps", "train_seconds"):
            assert float(row[key]) == np.median([one[key] for one in results])


@pytest.mark.parametrize(
    ("name", "tag", "against", "x_label"),
    [
        ("success_steps", "eval/success_final", "env_steps", "env steps"),
        ("success_seconds", "eval/success_final", "seconds", "training seconds"),
        ("return", "rollout/return", "episodes", "training episodes"),
        ("critic_loss", "train/critic_loss", "env_steps", "env steps"),
        ("q_mean", "train/q_mean", "env_steps", "env steps"),
    ],
)
def test_curves_are_those_of_the_runs_own_files(
    root: Path, name: str, tag: str, against: str, x_label: str
) -> None:
    rows = table(root / "report" / f"{name}.csv")
    figures = {one["name"]: one for one in data_of(root / "report" / "index.html")["figures"]}
    for k, folders in groups_of(root).items():
        mine = [row for row in rows if row["group"] == f"buffer.k={k}"]
        grid, values = interpolated(folders, tag, against)
        assert numbers(mine, x_label) == pytest.approx(grid)
        assert numbers(mine, "value") == pytest.approx(values)
        assert {row["seeds"] for row in mine} == {str(len(folders))}
        drawn = [
            one for one in figures[name]["data"] if one["name"].startswith(f"buffer.k={k} (n=")
        ]
        (line,) = [one for one in drawn if one.get("showlegend", True)]
        assert line["x"] == pytest.approx(grid, rel=1e-5)
        assert line["y"] == pytest.approx(values, rel=1e-5, abs=1e-12)
        assert {one["legendgroup"] for one in drawn} == {line["legendgroup"]}  # one click hides all
        assert (np.array(numbers(mine, "low")) <= np.array(numbers(mine, "high"))).all()
        (thin,) = [
            one for one in drawn if one["mode"] == "lines" and "fill" not in one and one != line
        ]
        lines = [line_of(wide(path), tag, against)[1].tolist() for path in folders]
        wanted = [value for one in lines for value in (*one, np.nan)]  # a gap after each seed
        np.testing.assert_allclose(np.array(thin["y"], float), wanted, rtol=1e-5, atol=1e-12)


def test_comparisons_are_those_of_the_final_scores(root: Path) -> None:
    scores = {f"buffer.k={k}": final_scores(folders) for k, folders in groups_of(root).items()}
    rows = table(root / "report" / "improvement.csv")
    assert len(rows) == len(scores) * (len(scores) - 1) // 2
    for row in rows:
        x, y = scores[row["x"]], scores[row["y"]]
        wins = [float(a > b) + 0.5 * float(a == b) for a in x for b in y]
        assert float(row["probability"]) == pytest.approx(np.mean(wins))
        assert trimmed(x) >= trimmed(y)
    for row in table(root / "report" / "profile.csv"):
        tau = float(row["success at the last step, tau"])
        assert float(row["value"]) == pytest.approx((scores[row["group"]] >= tau).mean())


def test_the_figure_of_final_success_is_the_table(root: Path) -> None:
    """A row each group, in the table's order: the IQM, its interval, and each seed."""
    figure = data_of(root / "report/index.html")["figures"][0]
    assert figure["name"] == "final"
    rows = table(root / "report" / "final.csv")
    seeds, dots = figure["data"][::2], figure["data"][1::2]
    places = zip(rows, seeds, dots, figure["layout"]["annotations"], strict=True)
    for number, (row, each, dot, label) in enumerate(places):
        assert label["text"].startswith(f"{row['group']} (n={row['seeds']})")
        assert {*each["y"], *dot["y"], label["y"]} == {number}
        assert each["x"] == pytest.approx([float(word) for word in row["each_seed"].split("; ")])
        value, bar = float(row["iqm"]), dot["error_x"]
        assert dot["x"] == [value]
        ends = [value - bar["arrayminus"][0], value + bar["array"][0]]
        assert ends == pytest.approx([float(row["iqm_low"]), float(row["iqm_high"])])


def test_every_part_is_there(root: Path) -> None:
    out = root / "report"
    page = (out / "index.html").read_text()
    data = data_of(out / "index.html")
    assert {one["name"] for one in data["figures"]} == FIGURES
    assert {path.stem for path in out.glob("*.png")} == FIGURES
    assert {path.stem for path in out.glob("*.csv")} == FIGURES | {"hyperparameters", "runs"}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.glob("*.png"))
    files = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix in (".png", ".csv")}
    assert files_of(out / "index.html") == files  # a page that is sent alone has them all
    for row in table(out / "runs.csv"):
        assert f"<td>{Path(row['folder']).name}</td>" in page
        assert f"<dt>folder</dt><dd>{row['folder']}</dd>" in page
        story = json.loads((root / Path(row["folder"]).name / "run.json").read_text())
        assert row["command"] == story["command"]
        assert row["command"] in unescape(page)
        assert row["commit"].startswith(story["git_commit"] or "")
        assert f"torch {story['versions']['torch']}" in row["versions"]
        assert str(story["machine"]["processor"]) in row["machine"]


def test_runs_are_found_by_their_own_files(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    sweep(root / "sweeps/s", seeds=2)
    for name in ("a/.hydra/config.yaml", "b/config.yaml", "c/result.json", "d/report/index.html"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    inner = root / "sweeps/s/buffer.k=0,seed=0_00/checkpoints/copy"
    shutil.copytree(root / "sweeps/s/buffer.k=0,seed=1_01", inner)  # what lies in a run is its own
    (root / "link").symlink_to(root / "sweeps")
    assert len(find(str(root))) == 4
    assert len(find(f"{root}/sweeps/s/buffer.k=0*")) == 2
    assert len(find(f"[{root}/sweeps/s/buffer.k=0,seed=0_00,{root}/sweeps/s/buffer.k=4*]")) == 3
    assert len(find(f"[{root}, {root}/link]")) == 4  # each once
    assert home(f"{root}/sweeps/s/buffer*/x") == root / "sweeps/s"
    assert home("*") == Path()
    with pytest.raises(UserError, match=r"/nowhere: no such folder$"):
        find(f"[{root}/sweeps/s/buffer.k=0,seed=0_00,{root}/nowhere]")
