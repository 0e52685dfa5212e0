"""`scripts/common.py`: a training that is done is not done again, one that was stopped goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TINY = ["trainer.learning_starts=100", "trainer.eval_episodes=2", "trainer.picture=false"]


def test_what_is_done_stays_and_what_was_stopped_goes_on(tmp_path: Path, load: Any) -> None:
    train, folder = load("common").train, tmp_path / "seed=1"
    first = train([*TINY, "trainer.total_steps=200"], 1, folder)
    written = (folder / "result.json").stat().st_mtime_ns
    assert first["status"] == "done"
    assert train([*TINY, "trainer.total_steps=200"], 1, folder) == first
    assert (folder / "result.json").stat().st_mtime_ns == written
    longer = train([*TINY, "trainer.total_steps=400"], 1, folder)
    assert (longer["env_steps"], longer["updates"]) == (400, first["updates"] + 150)
    with pytest.raises(SystemExit, match=r"buffer\.k cannot change"):
        train([*TINY, "trainer.total_steps=400", "buffer.k=2"], 1, folder)
