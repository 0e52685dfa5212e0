"""The real command says what ended its run in one last line, which `result.json` holds as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.health_kit import Start

RAISED = "of lane 0 raised ValueError: lost"
WILD = (
    "agent.clip_targets=false agent.layer_norm=false agent.tau=1 agent.critic_lr=30 "
    "trainer.total_steps=400 trainer.updates_per_step=1"
)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("env.backend=sync +env.fault='nan:observation'", "observation of lane 0 is nan at step"),
        ("env.backend=sync +env.fault=raise", RAISED),
        ("env.backend=async +env.fault=raise", RAISED),
        ("env.backend=async +env.fault=no_lanes", "died while it was made (exit code 1)"),
        (WILD, "learning has diverged; try smaller learning rates"),
    ],
)
def test_what_ended_the_run(words: str, reason: str, folder: Path, start: Start) -> None:
    start(*words.split()).fails(reason)
    # What the env raised is in the log, where to look for it; of all else one line says all.
    log = (folder / "run.log").read_text()
    assert ("Traceback" in log) == (reason == RAISED)
    assert ('raise ValueError("lost the %s thread")' in log) == (reason == RAISED)


def test_what_is_refused_beforehand(folder: Path, start: Start) -> None:
    command = start("trainer.checkpoint_every=30")
    assert command.process.wait(60) == 2
    line = command.err.splitlines()[-1]  # the first one notes that the key was given twice
    assert line.startswith("her_exp: error: trainer.checkpoint_every=30: must be at least 40, two ")
    assert not folder.exists()
