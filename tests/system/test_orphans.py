"""A worker of a pool whose command was killed ends by itself, whatever it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.heavy

#: A run is on in it, which stops when it is asked to; then it waits for its next job.
WORKER = """
import time
from her_exp.system.signals import SignalWatch, await_signals, end_with_parent
await_signals()
end_with_parent()
print("ready", flush=True)
with SignalWatch() as signals:
    while signals.received is None:
        time.sleep(0.1)
    print("stopped", flush=True)
time.sleep(600)
"""
MASTER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_an_orphan_ends() -> None:
    master = subprocess.Popen(
        [sys.executable, "-c", MASTER, WORKER], stdout=subprocess.PIPE, text=True
    )
    assert master.stdout is not None
    assert master.stdout.readline() == "ready\n"
    os.kill(master.pid, 9)
    start = time.monotonic()
    assert master.stdout.read() == "stopped\n"  # until its last writer is gone: the worker
    assert time.monotonic() - start < 30
    master.stdout.close()
    master.wait()
