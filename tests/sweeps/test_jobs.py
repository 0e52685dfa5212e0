"""What is told of a sweep's jobs, and how a stop reaches them: no job is started."""

from __future__ import annotations

import json
import os
import pickle
import signal
from pathlib import Path

import pytest

from her_exp.store.folder import lock
from her_exp.sweeps import jobs as sweep
from her_exp.system.signals import SignalWatch, Stopped


def test_the_last_word_of_a_job_counts() -> None:
    notes = [
        sweep.Note("stopped", "a", ""), sweep.Note("done", "b", ""), sweep.Note("failed", "c", ""),
        sweep.Note("resumed", "a", ""), sweep.Note("skipped", "b", ""), sweep.Note("skipped", "d", ""),
    ]  # fmt: skip
    last = {note.folder: note.what for note in sweep.latest(notes)}
    assert last == {"a": "resumed", "b": "done", "c": "failed", "d": "skipped"}


def test_jobs_that_left_no_word(tmp_path: Path) -> None:
    for name, status in (("a", "running"), ("b", "running"), ("c", "done"), ("d", "running")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.lock").touch()
        (tmp_path / name / "result.json").write_text(json.dumps({"status": status}))
    with lock(tmp_path / "b"):
        found = sweep.silent(tmp_path, [sweep.Note("stopped", str(tmp_path / "d"), "")])
    assert {Path(n.folder).name: n.what for n in found} == {"a": "killed", "b": "running"}
    assert sweep.table(found, jobs=5)[-1] == "1 killed, 1 running, 3 not begun"
    assert sweep.table([]) == []


def test_a_stop_travels_between_processes() -> None:
    stop = pickle.loads(pickle.dumps(Stopped(signal.SIGTERM)))
    assert (stop.code, str(stop)) == (143, "stopped by SIGTERM")


def test_under_submitit_its_own_signal_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    got: list[int] = []
    before = {n: signal.signal(n, lambda n, _: got.append(n)) for n in (15, signal.SIGUSR2)}
    try:
        with SignalWatch() as watch:
            os.kill(os.getpid(), signal.SIGTERM)  # Slurm sends it first
            assert watch.received is None
            os.kill(os.getpid(), signal.SIGUSR2)
            assert watch.received == signal.SIGUSR2
        assert got == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
