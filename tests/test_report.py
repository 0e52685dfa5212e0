"""Reports: their numbers against a direct computation, what is not done, what is damaged, what is hostile."""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from omegaconf import OmegaConf
from report_kit import Rows, curve, data_of, draw, make_run, sweep, table, write_metrics

for name in ("plotly", "matplotlib", "pandas", "scipy"):
    pytest.importorskip(name)
import pandas as pd  # noqa: E402
import scipy.stats  # noqa: E402
from conftest import RunCli  # noqa: E402

from her_exp.config import CONF_DIR, compose  # noqa: E402
from her_exp.evaluation import wilson_interval  # noqa: E402
from her_exp.report import command, main, report  # noqa: E402
from her_exp.reporting import runs as reading  # noqa: E402
from her_exp.reporting.events import last_picture  # noqa: E402
from her_exp.reporting.explanations import comments_of, explain  # noqa: E402
from her_exp.reporting.find import find, home, targets  # noqa: E402
from her_exp.types import UserError  # noqa: E402

Floats = NDArray[np.float64]
FIGURES = {
    "success_steps", "success_seconds", "return", "success", "final_distance", "critic_loss",
    "actor_loss", "q_mean", "improvement", "profile",
}  # fmt: skip


@pytest.fixture
def no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a report's time, and most tests do not look at them."""
    monkeypatch.setattr("her_exp.reporting.draw.to_png", lambda figure, path: None)


def wide(folder: Path) -> pd.DataFrame:
    """The metrics of a run, a column a tag, as docs/her.md says to read them."""
    return pd.read_csv(folder / "metrics.csv").pivot_table("value", "env_steps", "tag")


def groups_of(root: Path) -> dict[int, list[Path]]:
    """The run folders of each `buffer.k`, by seed."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in root.rglob("config.yaml"):
        cfg = OmegaConf.load(path)
        if ".hydra" not in path.parts:
            found.setdefault(cfg.buffer.k, []).append((cfg.seed, path.parent))
    return {k: [path for _, path in sorted(pairs)] for k, pairs in sorted(found.items())}


def numbers(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) if row[column] else math.nan for row in rows]


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
    assert done.stdout.splitlines()[-2:] == [
        "4 runs: 4 done",
        "outputs/sweeps/s/report/index.html",
    ]
    again = run_cli(*words, cwd=cwd)  # the report's folders are no jobs
    assert again.returncode == 0, again.stderr
    assert "4 skipped" in again.stderr
    return cwd / "outputs/sweeps/s"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep made to order: three groups of 5 seeds, whose IQM is no mean."""
    root = sweep(tmp_path_factory.mktemp("made") / "s", ks=(0, 4, 8), seeds=5)
    report(str(root))
    return root


@pytest.fixture(params=["real", "made"])
def root(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


# --- numbers -----------------------------------------------------------------------------------


def test_final_table_is_that_of_the_runs_own_files(root: Path) -> None:
    rows = table(root / "report" / "final.csv")
    embedded = data_of(root / "report" / "index.html")["final"]
    assert [row["group"] for row in rows] == [f"buffer.k={k}" for k in groups_of(root)]
    for row, shown, folders in zip(rows, embedded, groups_of(root).values(), strict=True):
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
        for key in ("success", "success_low", "iqm", "iqm_high", "env_steps"):
            assert shown[key] == float(row[key])


def line_of(frame: pd.DataFrame, tag: str, against: str) -> tuple[Floats, Floats]:
    """A run's line in a figure, from its metrics."""
    if against == "episodes":
        frame = frame[["rollout/episodes", tag]].dropna()
        ends = frame["rollout/episodes"].astype(int)
        each = np.repeat(frame[tag].to_numpy(), np.diff([0, *ends]))
        return ends.to_numpy(float), np.array([each[max(0, n - 100) : n].mean() for n in ends])
    values, seconds = frame[tag].dropna(), frame["time/train_s"].dropna()
    x = values.index.to_numpy(float)
    if against == "seconds":
        x = np.interp(x, [0, *seconds.index], [0, *seconds])
    return x, values.to_numpy()


def interpolated(folders: list[Path], tag: str, against: str) -> tuple[list[float], list[float]]:
    """IQM over runs of `tag` at every x of theirs, from where all have begun."""
    lines = [line_of(wide(path), tag, against) for path in folders]
    start = max(x[0] for x, _ in lines)
    grid = sorted({value for x, _ in lines for value in x.tolist() if value >= start})
    values = np.stack([np.interp(grid, x, y) for x, y in lines])
    return grid, scipy.stats.trim_mean(values, 0.25, axis=0).tolist()


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
        traces = [one for one in figures[name]["data"] if one["name"] == f"buffer.k={k}"]
        (line,) = [one for one in traces if one.get("showlegend", True)]
        assert line["x"] == pytest.approx(grid, rel=1e-5)
        assert line["y"] == pytest.approx(values, rel=1e-5, abs=1e-12)
        assert [pair[0] for pair in line["customdata"]] == pytest.approx(low, rel=1e-5, abs=1e-12)
        assert f"n = {len(folders)} seeds" in line["hovertemplate"]
        assert {one["legendgroup"] for one in traces} == {line["legendgroup"]}
        (thin,) = [
            one for one in traces if one["mode"] == "lines" and "fill" not in one and one != line
        ]
        raw = [wide(path)[tag].dropna().tolist() for path in folders]
        wanted = [value for one in raw for value in (*one, math.nan)]  # a gap after each seed
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


@pytest.mark.usefixtures("no_png")
def test_first_evaluations_at_95(tmp_path: Path) -> None:
    """A median over seeds where the one that never came there is later than all others."""
    for seed, steps in enumerate([300, 200, None]):
        reached = (
            {"0.95": {"env_steps": steps, "train_seconds": (steps or 0) / 10}} if steps else {}
        )
        make_run(tmp_path / "s" / f"a{seed}", seed, 4, reached=reached)
        make_run(tmp_path / "s" / f"b{seed}", seed, 0, reached=reached if seed else {})
    report(str(tmp_path / "s"))
    few, many = table(tmp_path / "s/report/final.csv")
    assert (many["reached_95"], many["steps_to_95"], many["seconds_to_95"]) == (
        "2",
        "300.0",
        "30.0",
    )
    assert (few["reached_95"], few["steps_to_95"], few["seconds_to_95"]) == ("1", "", "")


def test_every_part_is_there(root: Path) -> None:
    out = root / "report"
    page = (out / "index.html").read_text()
    data = data_of(out / "index.html")
    assert {one["name"] for one in data["figures"]} == FIGURES
    assert {path.stem for path in out.glob("*.png")} == FIGURES
    assert {path.stem for path in out.glob("*.csv")} == FIGURES | {
        "final",
        "hyperparameters",
        "runs",
    }
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.glob("*.png"))
    heads = ["What differs", "Final success", "Evaluation", "Training", "Comparison",
             "Hyperparameters", "What the policies do", "Runs"]  # fmt: skip
    places = [page.index(f">{head}</h2>") for head in heads]
    assert places == sorted(places)
    for row in table(out / "runs.csv"):
        assert f'href="../{quote(Path(row["folder"]).name)}/"' in page
        story = json.loads((root / Path(row["folder"]).name / "run.json").read_text())
        assert row["command"] == story["command"]
        assert row["command"] in unescape(page)
        assert row["commit"].startswith(story["git_commit"] or "")
        assert f"torch {story['versions']['torch']}" in row["versions"]
        assert str(story["machine"]["processor"]) in row["machine"]


# --- groups ------------------------------------------------------------------------------------


def groups_in(root: Path) -> dict[str, int]:
    report(str(root))
    return {row["group"]: int(row["seeds"]) for row in table(root / "report" / "final.csv")}


@pytest.mark.usefixtures("no_png")
def test_a_group_is_equal_settings_however_they_were_spelled(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 1, overrides=["sweep=other", "trainer.progress=false", "agent=ddpg"])
    make_run(tmp_path / "s/c", 2, overrides=["agent.gamma=0.9800", "trainer.picture=false"])
    assert groups_in(tmp_path / "s") == {"point_reach, ddpg": 3}


@pytest.mark.usefixtures("no_png")
def test_another_env_or_agent_is_another_group(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 0, overrides=["agent=td3"])
    make_run(tmp_path / "s/c", 0, overrides=["env=nav2d"])
    make_run(tmp_path / "s/d", 0, overrides=["env=nav2d", "agent.gamma=0.9"])
    assert groups_in(tmp_path / "s") == {
        "nav2d, ddpg, agent.gamma=0.9": 1, "nav2d, ddpg, agent.gamma=0.98": 1,
        "point_reach, ddpg": 1, "point_reach, td3": 1,
    }  # fmt: skip
    compared = table(tmp_path / "s/report/improvement.csv")
    assert len(compared) == 2  # of the same task only
    assert {row["low"] for row in compared} == {""}  # one seed each


@pytest.mark.usefixtures("no_png")
def test_a_seed_that_ran_twice_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 0)
    make_run(tmp_path / "s/c", 1)
    assert groups_in(tmp_path / "s") == {"point_reach, ddpg": 2}
    rows = {Path(row["folder"]).name: row for row in table(tmp_path / "s/report/runs.csv")}
    assert [rows[name]["counted"] for name in "abc"] == ["True", "False", "True"]
    assert "same settings and seed as a" in rows["b"]["warnings"]


@pytest.mark.usefixtures("no_png")
def test_a_run_that_was_lengthened_is_another_group(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    story = json.loads((make_run(tmp_path / "s/b", 0) / "run.json").read_text())
    story["resumes"] = [{"overrides": ["trainer.total_steps=9000"]}]
    (tmp_path / "s/b/run.json").write_text(json.dumps(story))
    labels = {"trainer.total_steps=6000": 1, "trainer.total_steps=9000": 1}
    assert groups_in(tmp_path / "s") == labels


@pytest.mark.usefixtures("no_png")
def test_values_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=(10, 9, 1), seeds=1)
    assert list(groups_in(tmp_path / "s")) == ["buffer.k=1", "buffer.k=9", "buffer.k=10"]


@pytest.mark.usefixtures("no_png")
def test_figures_show_the_best_of_each_task(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=range(9), seeds=1)
    low: Rows = [(100, "eval/success_final", 0.0)]
    for k in (0, 1):
        make_run(tmp_path / f"s/other{k}", 0, k, overrides=["env=nav2d"], rows=low)
    assert len(groups_in(tmp_path / "s")) == 11
    shown = {row["group"] for row in table(tmp_path / "s/report/success_steps.csv")}
    assert len(shown) == 8
    assert {one for one in shown if one.startswith("nav2d")} == {
        "nav2d, buffer.k=0",
        "nav2d, buffer.k=1",
    }


@pytest.mark.usefixtures("no_png")
def test_figures_show_the_eight_best_of_many_groups(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=range(10), seeds=1)
    assert len(groups_in(tmp_path / "s")) == 10
    shown = {row["group"] for row in table(tmp_path / "s/report/success_steps.csv")}
    scores = {row["group"]: float(row["iqm"]) for row in table(tmp_path / "s/report/final.csv")}
    assert len(shown) == 8
    assert min(scores[one] for one in shown) >= max(scores[one] for one in scores.keys() - shown)
    assert "Figures show the 8 best of 10 groups" in (tmp_path / "s/report/index.html").read_text()


def test_settings_are_explained_by_the_files_of_conf() -> None:
    for asked in ([], ["experiment=bit_flip"], ["env=nav2d", "agent=sac"]):
        settings = reading.flatten(OmegaConf.to_container(compose(asked), resolve=True))  # type: ignore[arg-type]
        texts = explain(settings)
        silent = {key for key in settings if key not in texts and not key.endswith("_target_")}
        assert {key for key in silent if not key.startswith("score")} == set()
        for key, text in texts.items():
            group, _, name = key.rpartition(".")
            files = [CONF_DIR / "config.yaml", *(CONF_DIR / group).rglob("*.yaml")]
            assert any(comments_of(path).get(name) == text for path in files), key
    sac = comments_of(CONF_DIR / "agent" / "sac.yaml")
    assert sac["target_critics"].endswith("2 of 10); null: as said above")  # over two lines
    assert sac["actor_lr"] == "Adam"


def test_explanations_know_what_a_hash_in_a_value_is(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        'a: "#1 # no"  # yes\nb: 2\nc:\n  d: [1, "# no"]   # deep\n  e:   # none\n    f: 1\n# g\n'
    )
    assert comments_of(path) == {"a": "yes", "c.d": "deep"}


# --- not done ----------------------------------------------------------------------------------


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
    assert [name for name, row in rows.items() if row["counted"] == "True"] == [
        "done0",
        "done1",
        "done2",
    ]
    (final,) = table(root / "report/final.csv")
    assert (final["seeds"], final["done"], final["runs"]) == ("3", "3", "9")
    scores = [wide(root / f"done{seed}")["eval/success_final"].iloc[-1] for seed in range(3)]
    assert float(final["iqm"]) == pytest.approx(np.mean(scores))
    page = (root / "report/index.html").read_text()
    for word in ("train/critic_loss is nan", "SIGTERM", "another process is at it", "holds no evaluation",
                 "7 of 10 runs are not part of any number"):  # fmt: skip
        assert word in page


@pytest.mark.usefixtures("no_png")
def test_no_run_done_is_a_report_without_numbers(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0, status="failed", reason="broken")
    (final,) = (report(str(tmp_path / "s")), table(tmp_path / "s/report/final.csv"))[1]
    assert (final["seeds"], final["iqm"], final["success"]) == ("0", "", "")
    data = data_of(tmp_path / "s/report/index.html")
    assert {one["name"] for one in data["figures"]} == FIGURES - {"improvement", "profile"}
    assert all(one["showlegend"] for figure in data["figures"] for one in figure["data"])


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
    draw(folder, [1])
    (events,) = folder.glob("events*")
    cut(events, -3)
    with (folder / "run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = reading.read(folder)
    assert last_picture(run) is not None
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
        "events.out.tfevents.1",
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
    assert 'href="../run%FF0/"' in page
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
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
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
    make_run(tmp_path / "s/c", 2, status=evil, reason=evil)
    page = report(f"[{tmp_path}/s]").read_text()
    scripts = [part.partition(">")[0] for part in page.split("<script")[1:]]
    assert scripts[0] == ' type="application/json" id="report-data"'
    assert page.count("</script>") == 3
    assert "alert(1)</script>" not in page
    head = page.split("<script")[0]
    for word in ("<img src=x", "<script>", "onerror=alert(1)>"):
        assert word not in head
    assert "&lt;script&gt;" in head
    for figure in data_of(tmp_path / "s/report/index.html")["figures"]:
        for trace in figure["data"]:  # plotly reads a kind of HTML itself
            assert "<" not in trace["name"].replace("<br>", "")
    assert "script-src 'sha256-" in head
    assert "unsafe-inline" not in head.partition("script-src")[2].partition(";")[0]


# --- finding -----------------------------------------------------------------------------------


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


@pytest.mark.usefixtures("no_png")
def test_out_says_where_the_report_goes(made: Path, tmp_path: Path) -> None:
    page = report(f"[{made}/buffer.k=4*]", tmp_path / "deep/r")
    assert page == tmp_path / "deep/r/index.html"
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"r", "aggregate"}
    link = "../../" + str(made.relative_to(tmp_path.parent)).replace("=", "%3D")
    assert page.read_text().count(f'href="../{link}/buffer.k%3D4') == 5


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "runs is not set; give runs=outputs/sweeps/<name>"),
        (["runs=nowhere"], "runs=nowhere: no such folder"),
        (["runs=no*"], "runs=no*: no such folder"),
        (["runs=[]"], "runs=[]: names no folder"),
        (["runs=" + "x" * 5000], "runs=" + "x" * 5000 + ": no such folder"),
        (["runs=."], "runs=.: no run in it; a run folder holds config.yaml, run.json and result.json, and "
         "python -m her_exp.train makes one"),
        (["run=."], "unknown key run; the keys are runs, out"),
        (["runs=run", "out=file"], "out=file: cannot be written (File exists)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if "runs=run" in words:
        make_run(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["her-report", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"her_exp: error: {line}\n"


def test_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("her_exp.report.find_spec", lambda name: None if name == "plotly" else name)
    with pytest.raises(
        UserError, match=r"needs plotly, not installed; pip install 'her_exp\[report\]'"
    ):
        command(["runs=."])


# --- many --------------------------------------------------------------------------------------


def test_five_hundred_runs(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = groups_of(real)[4][0]
    text = (source / "config.yaml").read_text()
    for number in range(500):
        folder = tmp_path / "s" / f"run{number}"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("checkpoints", ".hydra"))
        changed = (
            text.replace("\nseed: 0\n", "\n").replace("seed: 0\n", "") + f"seed: {number // 10}\n"
        )
        (folder / "config.yaml").write_text(changed.replace("k: 4\n", f"k: {number % 10}\n"))
    began, worked = time.perf_counter(), time.process_time()
    page = report(str(tmp_path / "s"))
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    size = page.stat().st_size / 1e6
    with capsys.disabled():
        print(
            f"\n500 runs: {seconds:.1f} s, {worked:.1f} s of them at work; a page of {size:.1f} MB"
        )
    rows = table(tmp_path / "s/report/final.csv")
    assert [row["seeds"] for row in rows] == ["50"] * 10
    assert worked < 60  # on a machine that does other things as well, the clock says little
    assert size < 15


@pytest.mark.usefixtures("no_png")
def test_long_runs_make_no_long_page(tmp_path: Path) -> None:
    for seed in range(2):
        folder = make_run(tmp_path / "s" / f"a{seed}", seed)
        write_metrics(folder, curve(seed, 4, evaluations=3000))
    page = report(str(tmp_path / "s"))
    with (tmp_path / "s/report/success_steps.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 200
    figure = data_of(page)["figures"][0]
    assert max(len(trace["x"]) for trace in figure["data"]) <= 2 * 401
    assert page.stat().st_size < 6.5e6


@pytest.mark.usefixtures("no_png")
def test_files_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    out, runs = tmp_path / "mine", str(tmp_path / "s")
    out.mkdir()
    (out / "index.html").write_text("my page")
    make_run(tmp_path / "s" / "run0", 0)
    with pytest.raises(UserError, match="holds other files; give a new or an empty folder"):
        report(runs, out)
    assert (out / "index.html").read_text() == "my page"
    page = report(runs, tmp_path / "new")
    assert report(runs, tmp_path / "new") == page  # its own is written anew
