"""A worker of a pool whose command was killed ends by itself, whatever it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.heavy

WORKER = """
import time
from her_exp.system.signals import SignalWatch, await_signals, end_with_parent
await_signals()
end_with_parent()
print("ready", flush=True)
{what}
"""
#: It waits for its next job; or a run is on in it, which stops when it is asked to.
WAITS = "time.sleep(600)"
RUNS = """
with SignalWatch() as signals:
    while signals.received is None:
        time.sleep(0.1)
    print("stopped", flush=True)
time.sleep(600)
"""
MASTER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.parametrize(("what", "told"), [(WAITS, "ready\n"), (RUNS, "ready\nstopped\n")])
def test_an_orphan_ends(what: str, told: str) -> None:
    words = [sys.executable, "-c", MASTER, WORKER.format(what=what)]
    master = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert master.stdout is not None
    assert master.stdout.readline() == "ready\n"
    os.kill(master.pid, 9)
    start = time.monotonic()
    assert "ready\n" + master.stdout.read() == told  # until its last writer is gone: the worker
    assert time.monotonic() - start < 30
    master.stdout.close()
    master.wait()
