"""Pictures of paths: rings are success radii, letters stay apart; the last one is kept, whole."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from her_exp.envs.make import GoalTask
from her_exp.training import pictures
from her_exp.training.evaluation import Evaluation, evaluate
from her_exp.training.logger import RunLogger
from tests.training.lane_env import TOLD, LaneEnv


class Anything:
    """Acts at random."""

    def __init__(self, env: Any):
        self.space = env.single_action_space
        self.space.seed(0)

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        return np.stack([self.space.sample() for _ in observation])


def played(task: GoalTask) -> Evaluation:
    env = task.make(4)
    result = evaluate(env, task.goal_functions(), Anything(env), 4, seed=0, paths=4)
    env.close()
    return result


def resting(goals: Any, radius: float | None = None) -> Evaluation:
    """Two paths that begin and end on their goals; the first is met."""
    goals = [np.array(goal, float) for goal in goals]
    return Evaluation([], [np.stack([goal] * 3) for goal in goals], goals, [True, False], radius)


def where(picture: Any, colour: Any) -> tuple[Any, Any]:
    """The rows and columns that have a colour, or nearly: an edge is mixed with the paper."""
    return np.nonzero(np.abs(picture.astype(int) - colour).sum(-1) < 90)


def centre(columns: Any) -> float:
    return float(columns.min() + columns.max()) / 2


@pytest.mark.parametrize("backend", ["native", "sync"])
def test_the_radius_is_that_of_the_goal_functions(backend: str) -> None:
    """Lanes of other packages have no `distance_threshold`."""
    ours = GoalTask("her_exp/PointReach-v0", backend=backend, distance_threshold=0.3)
    assert played(ours).radius == 0.3


@pytest.mark.parametrize("own", [0.2, np.inf, "near"])
def test_an_attribute_that_nothing_proves_is_no_radius(own: Any) -> None:
    """Success may ask for more than the distance that an env names."""
    env = LaneEnv([2, 2])
    env.distance_threshold = own
    assert evaluate(env, TOLD, Anything(env), 2, seed=0, paths=2).radius is None


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


@pytest.mark.parametrize("radius", [None, 1e-3])
def test_without_a_radius_to_be_seen_a_goal_is_a_small_cross(radius: float | None) -> None:
    sizes = set()
    for apart in (1.0, 100.0):
        picture = pictures.draw(resting([(0, 0), (apart, 0)], radius))[105:-62]
        sizes.add(int(np.ptp(where(picture, pictures.MET)[1])))
    assert len(sizes) == 1  # a mark, no length in units of the goal
    assert 10 <= sizes.pop() <= 20


class Written(NamedTuple):
    words: str
    column: float
    box: tuple[float, float, float, float]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """What is written into a picture, and where."""
    written: list[Written] = []
    write = ImageDraw.ImageDraw.text

    def spy(canvas: Any, at: Any, words: str, **how: Any) -> None:
        box = canvas.textbbox(at, words, font=how["font"], anchor=how["anchor"])
        written.append(Written(words, at[0], box))
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


@pytest.fixture
def draw(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Log a picture of one shade, in the folder `run`."""
    (tmp_path / "run").mkdir()
    with RunLogger(tmp_path / "run", 100, False) as logger:
        yield lambda shade: logger.picture("eval/paths", np.full((8, 9, 3), shade, np.uint8), shade)


def shade_kept(run: Path) -> int:
    assert not list(run.glob("*.tmp"))
    with Image.open(run / "paths_last.png") as image:
        (shade,) = set(np.asarray(image).ravel().tolist())
    return int(shade)


def test_the_newest_one_stays_and_a_disk_that_refuses_ends_no_run(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    draw(10)
    draw(20)
    assert shade_kept(tmp_path / "run") == 20
    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        draw(30)
    picture = tmp_path / "run" / "paths_last.png"
    assert caplog.messages == [f"{picture} cannot be written (No space left on device)"]
    assert shade_kept(tmp_path / "run") == 20  # the one before, whole


@pytest.mark.parametrize("name", ["paths_last.png", "paths_last.png.tmp"])
def test_no_link_is_followed(name: str, draw: Any, tmp_path: Path) -> None:
    """One that comes while the run is on; what stands there before is refused at the start."""
    run, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("mine")
    (run / name).symlink_to(victim)
    draw(10)
    draw(20)
    assert victim.read_text() == "mine"
    assert shade_kept(run) == 20
    assert not (run / "paths_last.png").is_symlink()
