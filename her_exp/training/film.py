"""Films of a policy: an env's own pictures, episode after episode, as mp4 or GIF."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her_exp.envs.make import GoalTask
from her_exp.text import one_line
from her_exp.types import Agent, UserError


def can_draw(task: GoalTask) -> bool:
    """Say whether the env has a mode that gives frames; if not, there is a picture but no film."""
    env = task.make_single()
    modes = env.metadata.get("render_modes") or []
    env.close()
    if "rgb_array" not in modes:
        print("this env has no render mode rgb_array: no film, only the picture", file=sys.stderr)
    return "rgb_array" in modes


class CannotDraw(Exception):
    """No display, no GL: the env has a renderer, and it does not work here."""


def play(
    task: GoalTask, agent: Agent, episodes: int, seed: int
) -> tuple[list[NDArray[np.uint8]], int]:
    """Play episodes one after the other; return their frames, and how many make a second."""
    if not os.environ.get("DISPLAY"):  # MuJoCo asks for a window unless told otherwise
        os.environ.setdefault("MUJOCO_GL", "egl")
    frames: list[NDArray[np.uint8]] = []
    env = task.make_single(render_mode="rgb_array")
    try:
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed + episode)
            done = False
            frames += _frames(env)
            while not done:
                inputs = (
                    np.array(observation[key])[None] for key in ("observation", "desired_goal")
                )
                action = agent.act(*inputs, explore=False)[0]
                observation, _, terminated, truncated, _ = env.step(action)
                frames += _frames(env)
                done = bool(terminated or truncated)
            frames += frames[-1:] * 8  # rest a moment on the end of an episode
        return frames, int(env.metadata.get("render_fps") or 20)
    finally:
        with suppress(Exception):  # a renderer that failed may fail again, and the frames are here
            env.close()


def _frames(env: Any) -> list[NDArray[np.uint8]]:
    try:
        frame = env.render()
    except Exception as error:  # whatever a renderer raises
        raise CannotDraw(one_line(str(error))[:150]) from error
    return [np.asarray(frame, np.uint8)] if frame is not None else []


def write_film(stem: Path, frames: list[NDArray[np.uint8]], fps: int) -> Path:
    """Write an mp4 where imageio and its ffmpeg are installed (extra `video`), else a GIF."""
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401  (without it imageio knows no mp4)
    except ImportError:
        path = stem.with_suffix(".gif")
        first, *rest = [Image.fromarray(frame) for frame in frames]
        first.save(path, save_all=True, append_images=rest, duration=1000 // fps, loop=0)
        return path
    path = stem.with_suffix(".mp4")
    try:
        imageio.mimwrite(path, frames, fps=fps, macro_block_size=2)
    except OSError as error:  # ffmpeg's own words are many lines
        reason = one_line(str(error))[:100]
        raise UserError(
            f"{path}: the film cannot be written ({reason}); is the disk full?"
        ) from error
    return path
