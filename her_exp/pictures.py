"""What a policy does, as one picture: paths of achieved goals to the goals that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from her_exp.evaluation import Evaluation
from her_exp.types import Array

PATHS = 12  # episodes drawn in one picture
_SIZE, _OVER, _MARGIN = (
    420,
    3,
    26,
)  # pixels; drawn `_OVER` times larger and shrunk, for smooth lines
_LETTERS = 16  # pixels of the caption, less where it would not fit; a phone shrinks the picture
_PAPER, _GRID, _INK = (252, 252, 250), (232, 233, 236), (70, 76, 90)
_MET, _MISSED = (38, 145, 94), (214, 76, 64)


def draw(result: Evaluation, env: VectorEnv | None = None) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) of the paths of an evaluation.

    Real-valued goals in the plane or in space are shown by their first two coordinates, from start
    (dot) to end, each goal as a ring of the success radius where the env has a `distance_threshold`;
    longer ones (a pose, five fingertips) as their distance to the goal, step by step; others as the
    number of values that differ from it.
    """
    threshold = float(getattr(getattr(env, "unwrapped", None), "distance_threshold", 0.0) or 0.0)
    paths = [np.asarray(p).reshape(len(p), -1) for p in result.paths]
    goals = [np.asarray(g).reshape(-1) for g in result.goals]
    if paths[0].shape[1] in (2, 3) and np.issubdtype(paths[0].dtype, np.floating):
        return plane(paths, goals, result.path_success, threshold)
    return distances(paths, goals, result.path_success)


def plane(
    paths: Sequence[Array], goals: Sequence[Array], success: Sequence[bool], threshold: float
) -> NDArray[np.uint8]:
    """Draw paths (T + 1, >= 2) and goals on the plane of their first two coordinates."""
    points = np.concatenate([*(p[:, :2] for p in paths), *(g[None, :2] for g in goals)])
    low, high = points.min(0) - threshold, points.max(0) + threshold
    span = max(float((high - low).max()), 1e-9)
    low = (low + high) / 2 - span / 2
    canvas, scale = _canvas(), (_SIZE - 2 * _MARGIN) * _OVER / span

    def to_pixel(point: Array) -> tuple[float, float]:
        x, y = (np.asarray(point[:2], np.float64) - low) * scale + _MARGIN * _OVER
        return float(x), float(_SIZE * _OVER - y)

    for path, goal, met in zip(paths, goals, success, strict=True):
        colour = _MET if met else _MISSED
        _dot(canvas, to_pixel(goal), max(threshold * scale, 5 * _OVER), outline=colour)
        canvas.line([to_pixel(p) for p in path], fill=colour, width=2 * _OVER, joint="curve")
        _dot(canvas, to_pixel(path[0]), 3 * _OVER, fill=_INK)
        _dot(canvas, to_pixel(path[-1]), 3.5 * _OVER, fill=colour)
    return _finish(canvas, f"{sum(success)} of {len(success)} goals met at the last step")


def distances(
    paths: Sequence[Array], goals: Sequence[Array], success: Sequence[bool]
) -> NDArray[np.uint8]:
    """Draw how far from the goal each step is, a curve an episode.

    That is the Euclidean distance of real-valued goals, of others the number of values still wrong.
    """
    real = np.issubdtype(paths[0].dtype, np.floating)
    pairs = zip(paths, goals, strict=True)
    wrong = [np.linalg.norm(p - g, axis=1) if real else (p != g).sum(1) for p, g in pairs]
    steps = max(max(len(w) for w in wrong) - 1, 1)
    most = max(w.max() for w in wrong) or 1
    canvas, room = _canvas(), (_SIZE - 2 * _MARGIN) * _OVER
    for number, (values, met) in enumerate(zip(wrong, success, strict=True)):
        shift = (number - len(wrong) / 2) * 1.5 * _OVER  # equal curves stay apart
        line = [
            (
                _MARGIN * _OVER + t / steps * room,
                (_SIZE - _MARGIN) * _OVER - v / most * room + shift,
            )
            for t, v in enumerate(values)
        ]
        canvas.line(line, fill=_MET if met else _MISSED, width=2 * _OVER)
        _dot(canvas, line[-1], 3.5 * _OVER, fill=_MET if met else _MISSED)
    what = "distance to the goal" if real else "wrong values"
    return _finish(canvas, f"{what} (up to {most:.3g}) over {steps} steps")


def _canvas() -> ImageDraw.ImageDraw:
    side = _SIZE * _OVER
    canvas = ImageDraw.Draw(Image.new("RGB", (side, side), _PAPER))
    for i in range(9):
        at = (_MARGIN + i * (_SIZE - 2 * _MARGIN) / 8) * _OVER
        near, far = _MARGIN * _OVER, side - _MARGIN * _OVER
        canvas.line([(at, near), (at, far)], fill=_GRID, width=_OVER)
        canvas.line([(near, at), (far, at)], fill=_GRID, width=_OVER)
    return canvas


def _dot(canvas: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, **style: Any) -> None:
    x, y = at
    canvas.ellipse([x - radius, y - radius, x + radius, y + radius], width=2 * _OVER, **style)


def _finish(canvas: ImageDraw.ImageDraw, caption: str) -> NDArray[np.uint8]:
    image = canvas._image.resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)
    canvas, room = ImageDraw.Draw(image), _SIZE - 2 * _MARGIN
    sizes = range(_LETTERS, 9, -1)
    size = next((s for s in sizes if canvas.textlength(caption, font_size=s) <= room), 10)
    canvas.text((_MARGIN, _MARGIN / 2), caption, fill=_INK, font_size=size, anchor="lm")
    return np.asarray(image, np.uint8)
