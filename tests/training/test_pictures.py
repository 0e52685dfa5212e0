"""Pictures of paths: rings are success radii, letters stay apart; the last one is kept, whole."""

from __future__ import annotations

import errno
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from her_exp.training import pictures
from her_exp.training.evaluation import Evaluation
from her_exp.training.logger import RunLogger


def resting(goals: Any, radius: float | None = None) -> Evaluation:
    """Two paths that begin and end on their goals; the first is met."""
    goals = [np.array(goal, float) for goal in goals]
    return Evaluation([], [np.stack([goal] * 3) for goal in goals], goals, [True, False], radius)


def where(picture: Any, colour: Any) -> tuple[Any, Any]:
    """The rows and columns that have a colour, or nearly: an edge is mixed with the paper."""
    return np.nonzero(np.abs(picture.astype(int) - colour).sum(-1) < 90)


def centre(columns: Any) -> float:
    return float(columns.min() + columns.max()) / 2


@pytest.mark.parametrize("radius", [0.1, 0.25])
@pytest.mark.parametrize("goals", [[(0, 0), (1, 0)], [(5, -3, 7), (6, -3, 7)]])
def test_a_ring_is_as_wide_as_the_radius(radius: float, goals: Any) -> None:
    """Measured by the two goals, one unit apart; of space both sides have one scale."""
    picture = pictures.draw(resting(goals, radius))[105:-62]
    panels = np.split(picture, len(goals[0]) - 1, axis=1)
    for panel in panels:
        (rows, met), (_, missed) = (where(panel, c) for c in (pictures.MET, pictures.MISSED))
        unit = centre(missed) - centre(met)
        assert unit > 200
        assert np.ptp(met) == pytest.approx(2 * radius * unit, abs=3)
        assert np.ptp(rows) == pytest.approx(2 * radius * unit, abs=3)


#: Words, the column that they are written at, and the box that they fill.
Written = tuple[str, float, tuple[float, float, float, float]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """What is written into a picture, and where."""
    written: list[Written] = []
    write = ImageDraw.ImageDraw.text

    def spy(canvas: Any, at: Any, words: str, **how: Any) -> None:
        box = canvas.textbbox(at, words, font=how["font"], anchor=how["anchor"])
        written.append((words, at[0], box))
        write(canvas, at, words, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return written


def walks(dim: int, scale: float = 1.0, start: Any = 0.0, steps: int = 50) -> Evaluation:
    generator = np.random.default_rng(dim)
    ways = generator.normal(size=(12, steps + 1, dim)).cumsum(1) * scale + start
    return Evaluation([], list(ways), list(ways[:, -1]), [True] * 11 + [False], scale)


def flips(bits: int, steps: int) -> Evaluation:
    ways = np.random.default_rng(0).integers(0, 2, (12, steps + 1, bits), np.int8)
    return Evaluation([], list(ways), list(ways[:, -1]), [True] * 12)


STILL = Evaluation([], [np.zeros((1, 2))], [np.zeros(2)], [True])
CASES = {
    "plane": walks(2), "space": walks(3), "pose": walks(7), "bits": flips(15, 15), "few": flips(2, 1),
    "tiny": walks(2, 1e-7), "huge": walks(3, 1e7), "far": walks(2, 1e-3, 1e4), "still": STILL,
    "unequal": walks(2, 1.0, (0, -12345.678)), "long": walks(7, 1e-5, steps=1000),
    "line": walks(1), "float32": Evaluation([], [np.ones((3, 2), np.float32)], [np.ones(2)], [True]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_letters_are_large_enough_and_stay_apart(name: str, written: list[Written]) -> None:
    height, width, _ = pictures.draw(CASES[name]).shape
    assert width >= 800
    for _, _, (left, top, right, bottom) in written:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for (_, _, one), (_, _, other) in combinations(written, 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart, (name, one, other)
    (title,) = [box for words, _, box in written if "goals met" in words]
    assert (title[3] - title[1]) / width >= 13 / 420  # a phone shows a picture 350 pixels wide
    texts = [words for words, *_ in written]
    assert sum(text.lstrip("-")[0].isdigit() and "of" not in text for text in texts) >= 4
    titles = {"plane": {"goal[0]", "goal[1]"}, "space": {"goal[0]", "goal[1]", "goal[2]"}}
    assert titles.get(name, set()) <= set(texts)


def test_the_numbers_of_an_axis_are_where_they_say(written: list[Written]) -> None:
    """Goals at 0 and 1 stand above the numbers 0 and 1."""
    picture = pictures.draw(resting([(0, 5), (1, 5)], 0.1))[105:-62]
    columns = {words: column for words, column, _ in written}
    for label, colour in (("0", pictures.MET), ("1", pictures.MISSED)):
        assert centre(where(picture, colour)[1]) == pytest.approx(columns[label], abs=2)


def test_the_newest_one_stays_and_a_disk_that_refuses_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunLogger(tmp_path, 100, False) as logger:
        for shade in (10, 20, 30):
            if shade == 30:
                monkeypatch.setattr(os, "fsync", full)
            logger.picture("eval/paths", np.full((8, 9, 3), shade, np.uint8), shade)
    picture = tmp_path / "paths_last.png"
    assert caplog.messages == [f"{picture} cannot be written (No space left on device)"]
    with Image.open(picture) as image:
        assert set(np.asarray(image).ravel().tolist()) == {20}  # the one before, whole
    assert not list(tmp_path.glob("*.tmp"))
