"""The last picture of a run's paths, kept as a file: the newest, whole, and never worth a run."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her_exp.store.folder import start_over
from her_exp.training.logger import RunLogger


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


def test_a_run_that_starts_over_leaves_none(draw: Any, tmp_path: Path) -> None:
    draw(10)
    start_over(tmp_path / "run")
    assert not (tmp_path / "run" / "paths_last.png").exists()
