"""Pictures of our tasks: light, antialiased, 400 x 400 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from her_exp.envs.vector.task import View
from her_exp.types import Array

SIZE = 400  # pixels of a finished picture, both ways
_FINE = 3  # drawn this many times larger, then averaged down: Pillow draws hard edges
_TOP, _EDGE = 42, 14  # pixels: room for the caption, and at the other sides

Colour = tuple[int, int, int]
Point = tuple[float, float]

_PAPER: Colour = (247, 248, 250)
_PLANE: Colour = (255, 255, 255)
_PLANE_MET: Colour = (228, 246, 232)
_GRID: Colour = (229, 232, 238)
_INK: Colour = (56, 63, 77)
_FAINT: Colour = (139, 147, 161)
_AGENT: Colour = (43, 108, 214)
_GOAL: Colour = (240, 138, 36)
_MET: Colour = (38, 156, 84)
_MISSED: Colour = (228, 116, 98)


def draw_plane(
    view: View, *, low: float, high: float, radius: float, arrow: Array | None = None
) -> Array:
    """Draw a task on the square [low, high]^2.

    Args:
        view: its state has `position` and `goal` (2,), its trail is (steps + 1, 2).
        low, high: the square, in units of the task; y points up.
        radius: of the goal's disc, in those units.
        arrow: (2,) drawn from the position, in those units; None: no arrow.

    Returns:
        (400, 400, 3) uint8.
    """
    canvas = _Canvas(view)
    width = SIZE - _TOP - _EDGE
    left = (SIZE - width) / 2
    per_unit = width / (high - low)

    def place(point: Sequence[float] | Array) -> Point:
        return left + (point[0] - low) * per_unit, _TOP + width - (point[1] - low) * per_unit

    plane = _PLANE_MET if view.success else _PLANE
    canvas.box((left, _TOP), (left + width, _TOP + width), fill=plane)
    for tick in np.linspace(low, high, 11)[1:-1]:
        canvas.line(place((tick, low)), place((tick, high)), _GRID, 1)
        canvas.line(place((low, tick)), place((high, tick)), _GRID, 1)
    canvas.box((left, _TOP), (left + width, _TOP + width), outline=_FAINT)

    goal, goal_colour = place(view.state["goal"]), _MET if view.success else _GOAL
    canvas.disc(goal, radius * per_unit, fill=_mix(plane, goal_colour, 0.45), outline=goal_colour)
    canvas.disc(goal, 2.0, fill=goal_colour)

    points = [place(point) for point in view.trail]
    for i, (start, end) in enumerate(pairwise(points), start=1):
        colour = _mix(plane, _AGENT, 0.12 + 0.7 * i / (len(points) - 1))
        canvas.line(start, end, colour, 2.5)
        canvas.disc(start, 2.2, fill=colour)
    canvas.disc(points[0], 4.0, fill=plane, outline=_mix(plane, _AGENT, 0.45))

    agent = place(view.state["position"])
    if arrow is not None:
        canvas.line(agent, place(view.state["position"] + arrow), _INK, 2)
    canvas.disc(agent, 7.0, fill=_AGENT, outline=(255, 255, 255))
    return canvas.pixels()


def draw_bits(view: View) -> Array:
    """Draw the bits above those of the goal: filled squares are ones, green where they match.

    Args:
        view: its state has `bits` and `goal` (n,) of 0 and 1; many go on in further rows.

    Returns:
        (400, 400, 3) uint8.
    """
    canvas = _Canvas(view)
    bits, goal = view.state["bits"], view.state["goal"]
    n = len(bits)
    columns = min(n, max(8, int(np.ceil(np.sqrt(2.5 * n)))))
    blocks = -(-n // columns)
    start, end = (_EDGE + 14.0, float(_TOP)), (SIZE - _EDGE - 14.0, float(SIZE - _EDGE))
    plane = _PLANE_MET if view.success else _PLANE
    canvas.box(start, end, fill=plane, outline=_FAINT)
    wide, high = end[0] - start[0] - 24, end[1] - start[1] - 80
    cell = min(44.0, wide / columns, high / (2.6 * blocks))
    left = (SIZE - cell * columns) / 2
    top = (start[1] + end[1] - cell * 2.6 * blocks + 0.6 * cell) / 2
    canvas.text((left, top - 16), "now, and below it the goal", _FAINT, 12)
    for i in range(n):
        x = left + cell * (i % columns)
        y = top + 2.6 * cell * (i // columns)
        colour = _MET if bits[i] == goal[i] else _MISSED
        canvas.cell((x, y), cell, colour, filled=bool(bits[i]))
        canvas.cell((x, y + cell), cell, _INK, filled=bool(goal[i]))
    matches = int((bits == goal).sum())
    below = top + 2.6 * cell * blocks - 0.6 * cell + 14
    canvas.text((left, below), f"{matches} of {n} match", _FAINT, 12)
    return canvas.pixels()


class _Canvas:
    """A picture in the making, in finished pixels, with the caption that all tasks share."""

    def __init__(self, view: View):
        self._image = Image.new("RGB", (SIZE * _FINE, SIZE * _FINE), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        step = len(view.trail) - 1
        self.text((_EDGE + 14, _TOP / 2), f"step {step} / {view.max_steps}", _INK, 15)
        # A thin bar of the time gone, and what is reached in a word.
        left, right, y = 138.0, SIZE - 116.0, _TOP / 2
        self.line((left, y), (right, y), _GRID, 4)
        if step:
            self.line((left, y), (left + (right - left) * step / view.max_steps, y), _FAINT, 4)
        if view.success:
            self.disc((SIZE - 92.0, y), 5.0, fill=_MET)
            self.text((SIZE - 80.0, y), "reached", _MET, 15)

    def line(self, start: Point, end: Point, colour: Colour, width: float) -> None:
        """Draw a line of this width in pixels."""
        self._draw.line(_fine(start, end), colour, max(1, round(width * _FINE)))

    def box(
        self, start: Point, end: Point, fill: Colour | None = None, outline: Colour | None = None
    ) -> None:
        """Draw a rectangle."""
        self._draw.rectangle(_fine(start, end), fill, outline, _FINE)

    def disc(
        self, centre: Point, radius: float, fill: Colour, outline: Colour | None = None
    ) -> None:
        """Draw a disc of this radius in pixels."""
        corners = _fine(
            (centre[0] - radius, centre[1] - radius), (centre[0] + radius, centre[1] + radius)
        )
        self._draw.ellipse(corners, fill, outline, round(1.5 * _FINE) if outline else 0)

    def cell(self, corner: Point, size: float, colour: Colour, *, filled: bool) -> None:
        """Draw a rounded square: full for a one, an outline for a zero."""
        gap = 0.09 * size
        corners = _fine(
            (corner[0] + gap, corner[1] + gap), (corner[0] + size - gap, corner[1] + size - gap)
        )
        fill = colour if filled else _mix(_PLANE, colour, 0.1)
        outline = max(1, round(0.07 * size * _FINE))
        self._draw.rounded_rectangle(corners, 0.18 * size * _FINE, fill, colour, outline)

    def text(self, left_middle: Point, words: str, colour: Colour, size: int) -> None:
        """Write words, vertically centred."""
        (at,) = _fine(left_middle)
        self._draw.text(at, words, colour, _font(size * _FINE), anchor="lm")

    def pixels(self) -> Array:
        """Return the finished picture, (400, 400, 3) uint8, writable."""
        return np.array(self._image.reduce(_FINE))


def _fine(*points: Point) -> list[Point]:
    return [(float(x) * _FINE, float(y) * _FINE) for x, y in points]


def _mix(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
