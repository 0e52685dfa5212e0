"""What a policy does, as one picture: paths of achieved goals to the goals that were asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from her_exp.training.evaluation import Evaluation
from her_exp.types import Array

PATHS = 12  # episodes drawn in one picture
MET, MISSED = (38, 145, 94), (214, 76, 64)  # colours of episodes
_PAPER, _GRID, _INK = (252, 252, 250), (228, 229, 233), (70, 76, 90)
_OVER = 2  # drawn so many times larger and shrunk, for smooth lines
_WIDTH, _WIDER = 800, 1000  # pixels, of one panel and of two
_HEAD, _FOOT, _LEFT, _RIGHT = 104, 62, 92, 28  # pixels around a panel
_TITLE, _LINE, _NUMBER = 30, 20, 18  # pixels of letters, less where they would not fit
_SMALL = 8  # pixels: the end of a path hides a smaller ring, so that a cross shows the goal

Box = tuple[float, float, float, float]


def draw(result: Evaluation) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) of the paths of an evaluation, 800 pixels wide or more.

    Real-valued goals in the plane or in space are shown as paths, from start (dark dot) to end, space
    from two sides at one scale. Where the task is one of distance each goal is a ring of the success
    radius, else a cross. Longer goals (a pose, five fingertips) are shown as their distance to what
    was asked for, step by step; others as the number of values that differ from it.
    """
    real = np.issubdtype(result.paths[0].dtype, np.floating)
    exact = np.float64 if real else None
    paths = [np.asarray(p, exact).reshape(len(p), -1) for p in result.paths]
    goals = [np.asarray(g, exact).reshape(-1) for g in result.goals]
    colours = [MET if met else MISSED for met in result.path_success]
    if real and paths[0].shape[1] in (2, 3):
        sheet, says = _in_space(paths, goals, colours, result.radius or 0.0)
    else:
        sheet, says = _over_steps(paths, goals, colours, real, result.radius)
    met, asked = sum(result.path_success), len(result.path_success)
    missed = " (red: not met)" if met < asked else ""
    return sheet.finish(f"{met} of {asked} goals met at the last step{missed}", says)


def _in_space(
    paths: Sequence[Array], goals: Sequence[Array], colours: Sequence[Any], radius: float
) -> tuple[_Sheet, str]:
    """Draw paths (T + 1, 2 or 3) and goals; returns what the picture shows, too."""
    points = np.concatenate([*paths, *(goal[None] for goal in goals)])
    low, high = points.min(0) - radius, points.max(0) + radius
    span = 1.04 * max(float((high - low).max()), 1e-4 * float(np.abs(points).max())) or 1.0
    low = (low + high - span) / 2
    views = [(0, 1), (0, 2)][: len(low) - 1]  # coordinates to the right and up
    width = (_WIDTH, _WIDER)[len(views) - 1]
    side = width / len(views) - _LEFT - _RIGHT
    sheet = _Sheet(width, round(_HEAD + side + _FOOT))
    rings = radius * side / span >= _SMALL
    for number, view in enumerate(views):
        left = number * width / len(views) + _LEFT
        axes = list(view)
        titles = (f"goal[{view[0]}]", f"goal[{view[1]}]")
        box = (left, _HEAD, left + side, _HEAD + side)
        panel = _Panel(sheet, box, low[axes], low[axes] + span, titles)
        for path, goal, colour in zip(paths, goals, colours, strict=True):
            asked = panel.pixels(goal[None, axes])[0]
            sheet.ring(asked, radius * side / span, colour) if rings else sheet.cross(asked, colour)
            line = panel.pixels(path[:, axes])
            sheet.line(line, colour)
            sheet.dot(line[0], 4, _INK)
            sheet.dot(line[-1], 5, colour)
    says = f"dark dot: start; {'ring' if rings else 'cross'}: the goal"
    says += f", met within {radius:.3g}" if radius else ""
    says += "; seen along goal[2] (left) and along goal[1] (right)" if len(views) > 1 else ""
    return sheet, says


def _over_steps(
    paths: Sequence[Array],
    goals: Sequence[Array],
    colours: Sequence[Any],
    real: bool,
    radius: float | None,
) -> tuple[_Sheet, str]:
    """Draw how far from the goal each step is, a curve an episode; returns what is shown, too.

    That is the Euclidean distance of real-valued goals, of others the number of values still wrong.
    """
    pairs = zip(paths, goals, strict=True)
    wrong = [np.linalg.norm(p - g, axis=1) if real else (p != g).sum(1) for p, g in pairs]
    steps = max(max(len(w) for w in wrong) - 1, 1)
    most = float(max(w.max() for w in wrong)) or 1.0
    what = "distance to the goal" if real else "values that differ from the goal"
    sheet = _Sheet(_WIDTH, 560)
    box = (_LEFT, _HEAD, _WIDTH - _RIGHT, 560 - _FOOT)
    low, high = np.array([0.0, -0.05 * most]), np.array([1.02 * steps, 1.05 * most])
    panel = _Panel(sheet, box, low, high, ("env steps of the episode", what), (True, not real))
    says = "each line an episode"
    if real and radius and radius <= most:
        edge = panel.pixels(np.array([[0.0, radius], [1.02 * steps, radius]]))
        sheet.line(edge, _INK)
        says += f"; dark line: within {radius:.3g} the goal is met"
    for number, (values, colour) in enumerate(zip(wrong, colours, strict=True)):
        line = panel.pixels(np.stack([np.arange(len(values)), values], 1))
        if not real:
            line[:, 1] += (number - len(wrong) / 2) * 1.5 * _OVER  # equal curves stay apart
        sheet.line(line, colour)
        sheet.dot(line[-1], 5, colour)
    return sheet, says


class _Sheet:
    """What is drawn on: places are pixels of the large image, lengths pixels of the final one."""

    def __init__(self, width: int, height: int):
        self.width = width
        self._image = Image.new("RGB", (width * _OVER, height * _OVER), _PAPER)
        self._canvas = ImageDraw.Draw(self._image)
        self._texts: list[tuple[tuple[float, float], str, float, str]] = []

    def line(self, places: Array, colour: Any, width: int = 2) -> None:
        joint = "curve" if width > 1 else None
        self._canvas.line(places.ravel().tolist(), fill=colour, width=width * _OVER, joint=joint)

    def dot(self, place: Array, radius: float, colour: Any) -> None:
        self._canvas.ellipse(_around(place, radius), fill=colour)

    def ring(self, place: Array, radius: float, colour: Any) -> None:
        self._canvas.ellipse(_around(place, radius), outline=colour, width=2 * _OVER)

    def cross(self, place: Array, colour: Any) -> None:
        left, top, right, bottom = _around(place, 8)
        for ends in ((left, top, right, bottom), (left, bottom, right, top)):
            self._canvas.line(ends, fill=colour, width=2 * _OVER)

    def text(
        self, at: tuple[float, float], words: str, anchor: str, size: int, room: float
    ) -> None:
        """Write at a place of the final image, as large as `size` and `room` allow."""
        length = _font(size).getlength(words)
        fits = size if length <= room else max(9, math.floor(size * room / length))
        self._texts.append((at, words, fits, anchor))

    def finish(self, title: str, says: str) -> NDArray[np.uint8]:
        """Write title and line at the top; returns the final image."""
        room = self.width - 2 * _RIGHT
        self.text((_RIGHT, 24), title, "lm", _TITLE * self.width // _WIDTH, room)
        self.text((_RIGHT, 56), says, "lm", _LINE, room)
        image = self._image.reduce(_OVER)
        canvas = ImageDraw.Draw(image)
        for at, words, size, anchor in self._texts:
            canvas.text(at, words, fill=_INK, font=_font(size), anchor=anchor)
        return np.asarray(image, np.uint8)


class _Panel:
    """Axes with numbers and titles in a box (left, top, right, bottom) of a sheet.

    Args:
        low, high: (2,) the values at the box's edges, to the right and up.
        titles: of the two axes.
        whole: whether an axis has whole numbers only.
    """

    def __init__(
        self,
        sheet: _Sheet,
        box: Box,
        low: Array,
        high: Array,
        titles: tuple[str, str],
        whole: tuple[bool, bool] = (False, False),
    ):
        left, top, right, bottom = box
        self._low, self._corner = low, np.array([left, bottom])
        self._scale = np.array([right - left, top - bottom]) / (high - low)
        for axis, most in ((0, 6), (1, 8)):
            for value, label in _ticks(low[axis], high[axis], most, whole[axis]):
                ends = np.array([low, high])
                ends[:, axis] = value
                at = self.pixels(ends)
                sheet.line(at, _GRID, 1)
                x, y = (at[0] / _OVER).tolist()
                if axis == 0:
                    sheet.text((x, y + 8), label, "mt", _NUMBER, (right - left) / most)
                else:
                    sheet.text((x - 8, y), label, "rm", _NUMBER, _LEFT - 16)
        sheet.text(((left + right) / 2, bottom + 34), titles[0], "mt", _LINE, right - left)
        sheet.text((left, top - 8), titles[1], "ls", _LINE, right - left)

    def pixels(self, points: Array) -> Array:
        """Return the places of points (n, 2) in the large image."""
        places: Array = ((points - self._low) * self._scale + self._corner) * _OVER
        return places


def _ticks(low: float, high: float, most: int, whole: bool) -> list[tuple[float, str]]:
    """Return round numbers in [low, high], at most `most`, and how they are written."""
    least = (high - low) / (most - 1)
    unit = 10.0 ** math.floor(math.log10(least))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= least * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    numbers = range(
        math.ceil(max(low, 0.0) / step if whole else low / step), math.floor(high / step) + 1
    )
    digits = max(6, math.ceil(math.log10(max(abs(low), abs(high)) / step)) + 1)
    return [(n * step, f"{n * step:.{digits}g}") for n in numbers]


def _around(place: Array, radius: float) -> Box:
    x, y = place.tolist()
    radius *= _OVER
    return x - radius, y - radius, x + radius, y + radius


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
