"""What a training process asks of its allocator."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from her_exp.agents.networks import MLP
from her_exp.system.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        network(x).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20

torch.set_num_threads(1)
network, x = MLP(32, 1, (256, 256, 256), layer_norm=True), torch.randn(2048, 32)
before = faults()
keep_freed_memory()
faults()  # makes what is kept from here on
print(before, faults())
"""


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT], check=True, capture_output=True, text=True, timeout=120
    )
    before, after = map(float, done.stdout.split())
    # An activation of 2 MB has 512 pages.
    assert before > 512
    assert after < before / 10  # some are left where freed pieces do not fit
