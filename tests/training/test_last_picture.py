"""The last picture of a run's paths, kept as a file: the newest, whole, and never worth a run."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her_exp.store.folder import start_over
from her_exp.training.logger import RunLogger

GREY = np.full((8, 9, 3), 77, np.uint8)


def kept(folder: Path) -> np.ndarray:
    with Image.open(folder / "paths_last.png") as image:
        return np.asarray(image)


def test_the_newest_one_stays(tmp_path: Path) -> None:
    with RunLogger(tmp_path, 100, False) as logger:
        for shade in (10, 20):
            logger.picture("eval/paths", np.full_like(GREY, shade), shade)
    assert np.array_equal(kept(tmp_path), np.full_like(GREY, 20))
    assert not list(tmp_path.glob("*.tmp"))


def test_a_disk_that_refuses_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunLogger(tmp_path, 100, False) as logger:
        logger.picture("eval/paths", GREY, 10)
        with monkeypatch.context() as here, caplog.at_level(logging.WARNING):
            here.setattr(os, "fsync", full)
            logger.picture("eval/paths", np.zeros_like(GREY), 20)
    line = f"{tmp_path}/paths_last.png cannot be written (No space left on device)"
    assert caplog.messages == [line]
    assert np.array_equal(kept(tmp_path), GREY)  # the one before, whole
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("name", ["paths_last.png", "paths_last.png.tmp"])
def test_no_link_is_followed(name: str, tmp_path: Path) -> None:
    """One that comes while the run is on; what stands there before is refused at the start."""
    run, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("mine")
    run.mkdir()
    with RunLogger(run, 100, False) as logger:
        (run / name).symlink_to(victim)
        for step in (10, 20):
            logger.picture("eval/paths", GREY, step)
    assert victim.read_text() == "mine"
    assert np.array_equal(kept(run), GREY)
    assert not (run / "paths_last.png").is_symlink()


def test_a_run_that_starts_over_leaves_none(tmp_path: Path) -> None:
    with RunLogger(tmp_path, 100, False) as logger:
        logger.picture("eval/paths", GREY, 10)
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
