"""On the CPU of most laptops, with AVX2 only, networks multiply and a training goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from omegaconf import OmegaConf

from tests.runs.runs_kit import result_of

ROOT = Path(__file__).parents[2]
#: Two libraries take these words. (On Intel they do not bind MKL, for which nothing of ours is decided.)
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def go(*words: str, cwd: Path) -> str:
    """Run Python with these words on such a CPU; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=os.environ | AVX2 | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_networks(tmp_path: Path) -> None:
    files = [ROOT / "tests/agents/test_networks.py", ROOT / "tests/system/test_machine.py"]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not heavy and not slow"]
    words += [f"--rootdir={ROOT}"]
    last = go(*words, "-c", str(ROOT / "pyproject.toml"), *map(str, files), cwd=tmp_path)
    assert " passed" in last.splitlines()[-1]


def test_a_training_of_wide_networks(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "agent.hidden_sizes=[256,256]", "agent.precision=auto", "hydra.run.dir=run"]
    go("-m", "her_exp.train", *words, cwd=tmp_path)
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (written.agent.precision, written.products) == ("float32", "torch")
    assert result_of(tmp_path / "run")["status"] == "done"
