"""The last pictures of runs, groups in TensorBoard, and the layout of a run's main curves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from her_exp.report import report
from her_exp.reporting.runs import last_picture, read
from her_exp.training.logger import RunLogger
from tests.reporting.report_kit import draw, make_run, shade_of, sweep, table


def events_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def layout_of(events: EventAccumulator) -> layout_pb2.Layout:
    (tensor,) = events.Tensors("custom_scalars__config__")
    return layout_pb2.Layout.FromString(tensor.tensor_proto.string_val[0])


def test_what_is_shown_is_the_picture_and_nothing_else(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    assert last_picture(read(folder)) is None
    draw(folder, 30)
    path = folder / "paths_last.png"
    path.write_bytes(path.read_bytes() + b"<script>alert(1)</script>")
    run = read(folder)
    png = last_picture(run)
    assert png is not None
    assert shade_of(png) == 30
    assert b"script" not in png
    assert run.problems == []


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "too large": lambda path: Image.new("L", (5000, 10)).save(path),
    "no PNG": lambda path: Image.new("L", (8, 8)).save(path, "GIF"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_picture_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    draw(folder, 10)
    DAMAGE[kind](folder / "paths_last.png")
    run = read(folder)
    assert last_picture(run) is None
    assert run.problems == ["paths_last.png cannot be read"]


def test_groups_are_runs_of_tensorboard_and_have_a_picture(tmp_path: Path) -> None:
    root = sweep(tmp_path / "s", seeds=3)
    draw(root / "buffer.k=4,seed=1_41", 77)
    page = report(str(root)).read_text()
    assert page.count('<img alt="paths of') == 1  # one seed of each group
    assert "no picture in its run folders" in page  # of the other one
    rows = table(root / "report/success_steps.csv")
    folders = sorted((root / "aggregate").iterdir())
    assert [folder.name for folder in folders] == ["buffer.k=0", "buffer.k=4"]
    for folder in folders:
        events = events_of(folder)
        mine = [row for row in rows if row["group"] == folder.name]
        for tag, column in (("", "value"), ("/low", "low"), ("/high", "high")):
            shown = [(one.step, one.value) for one in events.Scalars(f"eval/success_final{tag}")]
            wanted = [
                (int(float(row["env steps"])), float(np.float32(row[column]))) for row in mine
            ]
            assert shown == wanted
        (category,) = layout_of(events).category
        (series,) = category.chart[0].margin.series
        tags = set(events.Tags()["scalars"])
        assert {series.value, series.lower, series.upper} == tags


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    root = sweep(tmp_path / "s", seeds=2)
    report(str(root))
    stranger = root / "aggregate/buffer.k=0/events.out.tfevents.1.mine"
    stranger.touch()
    (root / "aggregate/notes.txt").touch()
    make_run(root / "more", 2, 8)
    report(str(root))
    report(str(root))

    def ours() -> list[str]:
        return sorted(path.parent.name for path in (root / "aggregate").glob("*/*.her_report"))

    assert ours() == ["buffer.k=0", "buffer.k=4", "buffer.k=8"]
    assert len(table(root / "report/runs.csv")) == 5  # neither report/ nor aggregate/ is a run
    page = report(f"{root}/buffer.k=4*", root / "report")  # other groups: what is no more goes
    assert page == root / "report/index.html"
    assert ours() == ["point_reach,ddpg"]
    assert not (root / "aggregate/buffer.k=8").exists()
    assert stranger.exists()


def test_a_run_shows_its_main_curves_on_one_page(tmp_path: Path) -> None:
    with RunLogger(tmp_path, 100, False) as logger:
        logger.scalars({"eval/success_final": 0.5, "train/q_mean": -1.0}, 10)
        position = logger.position()
        logger.scalars({"eval/success_final": 0.7}, 20)
    layout = layout_of(events_of(tmp_path))
    charts = {chart.title for chart in layout.category[0].chart}
    assert charts == {"success", "return", "critic loss", "actor loss", "mean Q"}
    with RunLogger(tmp_path, 100, False, position) as logger:  # the run goes on from its checkpoint
        logger.scalars({"eval/success_final": 0.9}, 30)
    events = events_of(tmp_path)
    layout_of(events)  # once, after a resume as well
    assert [one.step for one in events.Scalars("eval/success_final")] == [10, 30]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
