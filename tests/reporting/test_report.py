"""Whole reports, of a real sweep and of one made to order: numbers by direct computation, place, size."""

from __future__ import annotations

import json
import math
import re
import shutil
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from her_exp.report import report
from her_exp.reporting.draw import PALETTE
from her_exp.store.find import find, home, targets
from her_exp.training.evaluation import wilson_interval
from her_exp.types import UserError
from tests.conftest import RunCli
from tests.reporting.report_kit import (
    FIGURES,
    curve,
    data_of,
    files_of,
    groups_of,
    interpolated,
    line_of,
    make_run,
    numbers,
    sweep,
    table,
    wide,
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A sweep of the real command, and its report by the real command."""
    cwd = tmp_path_factory.mktemp("real")
    words = [
        "-m", "sweep=s", "buffer.k=0,4", "seed=0,1", "trainer.total_steps=600", "env.max_steps=10",
        "trainer.learning_starts=100", "trainer.batch_size=32", "trainer.eval_every=150",
        "trainer.eval_episodes=20", "agent.hidden_sizes=[16]", "trainer.log_every=100",
    ]  # fmt: skip
    for module, asked in (("train", words), ("report", ["runs=outputs/sweeps/s"])):
        done = run_cli(*asked, cwd=cwd, module=module)
        assert done.returncode == 0, done.stderr
    told = ["4 runs: 4 done", "outputs/sweeps/s/report/index.html"]
    assert done.stdout.splitlines()[-2:] == told
    again = run_cli(*words, cwd=cwd)  # the report's folders are no jobs
    assert again.returncode == 0, again.stderr
    assert "4 skipped" in again.stderr
    return cwd / "outputs/sweeps/s"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: None) -> Path:
    """A sweep made to order: three groups of 5 seeds, whose IQM is no mean; one of more episodes."""
    root = sweep(tmp_path_factory.mktemp("made") / "s", ks=(0, 4), seeds=5)
    for seed in range(5):
        make_run(root / f"k=8,{seed}", seed, 8, rows=curve(seed, 8, 26 + seed, episodes=40))
    report(str(root))
    return root


@pytest.fixture(params=["real", "made"])
def root(request: pytest.FixtureRequest, pictures: None) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def test_final_table_is_that_of_the_runs_own_files(root: Path) -> None:
    rows = table(root / "report" / "final.csv")
    assert [row["group"] for row in rows] == [f"buffer.k={k}" for k in groups_of(root)]
    for row, folders in zip(rows, groups_of(root).values(), strict=True):
        scores = np.array([wide(path)["eval/success_final"].iloc[-1] for path in folders])
        results = [json.loads((path / "result.json").read_text()) for path in folders]
        episodes = sum(one["eval"]["episodes"] for one in results)
        wins = round(
            sum(s * one["eval"]["episodes"] for s, one in zip(scores, results, strict=True))
        )
        assert float(row["success"]) == wins / episodes
        pooled = float(row["success_low"]), float(row["success_high"])
        assert pooled == wilson_interval(wins, episodes)
        assert float(row["iqm"]) == pytest.approx(scipy.stats.trim_mean(scores, 0.25), abs=1e-14)
        theirs = scipy.stats.bootstrap(
            (scores,), lambda s, axis: scipy.stats.trim_mean(s, 0.25, axis=axis), n_resamples=2000,
            vectorized=True, method="percentile", rng=np.random.default_rng(0),
        ).confidence_interval if scores.std() else (scores[0], scores[0])  # fmt: skip
        assert [float(row["iqm_low"]), float(row["iqm_high"])] == pytest.approx(list(theirs))
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
        ("success", "rollout/success", "episodes", "training episodes"),
        ("final_distance", "rollout/final_distance", "episodes", "training episodes"),
        ("critic_loss", "train/critic_loss", "env_steps", "env steps"),
        ("actor_loss", "train/actor_loss", "env_steps", "env steps"),
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
        low, middle, high = (numbers(mine, key) for key in ("low", "value", "high"))
        assert all(
            a <= b + 1e-12 and b <= c + 1e-12 for a, b, c in zip(low, middle, high, strict=True)
        )
        label = f"buffer.k={k} (n={len(folders)})" + " †" * (len(folders) < 5)
        traces = [one for one in figures[name]["data"] if one["name"] == label]
        (line,) = [one for one in traces if one.get("showlegend", True)]
        assert line["x"] == pytest.approx(grid, rel=1e-5)
        assert line["y"] == pytest.approx(values, rel=1e-5, abs=1e-12)
        assert [pair[0] for pair in line["customdata"]] == pytest.approx(low, rel=1e-5, abs=1e-12)
        assert {one["legendgroup"] for one in traces} == {line["legendgroup"]}
        (thin,) = [
            one for one in traces if one["mode"] == "lines" and "fill" not in one and one != line
        ]
        lines = [line_of(wide(path), tag, against)[1].tolist() for path in folders]
        wanted = [value for one in lines for value in (*one, math.nan)]  # a gap after each seed
        drawn = [math.nan if value is None else value for value in thin["y"]]
        assert drawn == pytest.approx(wanted, rel=1e-5, abs=1e-12, nan_ok=True)


def test_comparisons_are_those_of_the_final_scores(root: Path) -> None:
    scores = {
        f"buffer.k={k}": np.array([wide(path)["eval/success_final"].iloc[-1] for path in folders])
        for k, folders in groups_of(root).items()
    }
    rows = table(root / "report" / "improvement.csv")
    assert len(rows) == len(scores) * (len(scores) - 1) // 2
    for row in rows:
        x, y = scores[row["x"]], scores[row["y"]]
        wins = [float(a > b) + 0.5 * float(a == b) for a in x for b in y]
        assert float(row["probability"]) == pytest.approx(np.mean(wins))
        assert scipy.stats.trim_mean(x, 0.25) >= scipy.stats.trim_mean(y, 0.25)
    for row in table(root / "report" / "profile.csv"):
        tau = float(row["success at the last step, tau"])
        assert float(row["value"]) == pytest.approx((scores[row["group"]] >= tau).mean())
    (profile,) = [
        f for f in data_of(root / "report/index.html")["figures"] if f["name"] == "profile"
    ]
    for number, own in enumerate(scores.values()):  # each falls below its own scores, upright
        band, line = profile["data"][number], profile["data"][number - len(scores)]
        assert line["line"]["shape"] == "vh"
        points = pairwise(zip(line["x"], line["y"], strict=True))
        falls = [x for (x, y), (_, after) in points if after < y]
        assert falls == pytest.approx(sorted({*own.tolist()} - {1.0}))
        edges = pairwise(zip(band["x"], band["y"], strict=True))
        assert all(a == c or b == d for (a, b), (c, d) in edges)


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


def test_first_evaluations_at_95(tmp_path: Path) -> None:
    """A median over seeds where the one that never came there is later than all others."""
    for seed, steps in enumerate([300, 200, None]):
        reached = {"0.95": {"env_steps": steps, "train_seconds": steps / 10}} if steps else {}
        make_run(tmp_path / "s" / f"a{seed}", seed, 4, reached=reached)
        make_run(tmp_path / "s" / f"b{seed}", seed, 0, reached=reached if seed else {})
    report(str(tmp_path / "s"))
    few, many = table(tmp_path / "s/report/final.csv")
    columns = ("reached_95", "steps_to_95", "seconds_to_95")
    assert [many[column] for column in columns] == ["2", "300.0", "30.0"]
    assert [few[column] for column in columns] == ["1", "", ""]


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
    links = re.findall(r'href="([^"]{,20})', page.partition("<script")[0])
    assert all(link.startswith("data:") for link in links)  # no other would work where it is sent
    heads = ["What differs", "Final success", "Evaluation", "Training", "Comparison",
             "Hyperparameters", "What the policies do", "Runs"]  # fmt: skip
    places = [page.index(f">{head}</h2>") for head in heads]
    assert places == sorted(places)
    for row in table(out / "runs.csv"):
        assert f"<td>{Path(row['folder']).name}</td>" in page
        assert f"<dt>folder</dt><dd>{row['folder']}</dd>" in page
        story = json.loads((root / Path(row["folder"]).name / "run.json").read_text())
        assert row["command"] == story["command"]
        assert row["command"] in unescape(page)
        assert row["commit"].startswith(story["git_commit"] or "")
        assert f"torch {story['versions']['torch']}" in row["versions"]
        assert str(story["machine"]["processor"]) in row["machine"]


@pytest.mark.parametrize("name", ["final", "success_steps", "profile"])
def test_a_png_has_the_colours_of_the_page(name: str, made: Path) -> None:
    with Image.open(made / "report" / f"{name}.png") as image:
        there = {color for _, color in image.convert("RGB").getcolors(1 << 24)}
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in PALETTE[:6]]  # the seventh is grey
    assert [colour in there for colour in colours] == [True] * 3 + [False] * 3


def test_runs_are_found_by_their_own_files(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    shutil.copytree(made, root / "sweeps/s")
    for name in ("a/.hydra/config.yaml", "b/config.yaml", "c/result.json", "d/report/index.html"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    inner = root / "sweeps/s/buffer.k=0,seed=0_00/checkpoints/copy"
    shutil.copytree(root / "sweeps/s/buffer.k=0,seed=1_01", inner)  # what lies in a run is its own
    (root / "link").symlink_to(root / "sweeps")
    assert len(find(str(root))) == 15
    assert len(find(f"{root}/sweeps/s/buffer.k=0*")) == 5
    assert len(find(f"[{root}/sweeps/s/buffer.k=0,seed=0_00,{root}/sweeps/s/buffer.k=4*]")) == 6
    assert len(find(f"[{root}, {root}/link]")) == 15  # each once
    one = f"{root}/sweeps/s/buffer.k=0,seed=0_00"
    assert find(one) == [Path(one)]
    assert targets(f"[{one},{root}/nowhere]") == [one, f"{root}/nowhere"]
    assert home(f"{root}/sweeps/s/buffer*/x") == root / "sweeps/s"
    assert home("*") == Path()
    with pytest.raises(UserError, match=r"no such folder$"):
        find(f"[{root},{root}/nowhere]")
