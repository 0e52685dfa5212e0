"""On the CPU of most laptops, with AVX2 only, networks, agents, a training and the benchmark go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.runs.runs_kit import result_of

ROOT = Path(__file__).parents[2]
#: Two libraries take these words. (On Intel they do not bind MKL, for which nothing of ours is decided.)
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def go(*words: str, cwd: Path, timeout: float = 280) -> str:
    """Run Python with these words on such a CPU; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=os.environ | AVX2 | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_networks_and_agents(tmp_path: Path) -> None:
    files = [ROOT / "tests" / "agents", ROOT / "tests" / "system" / "test_machine.py"]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not heavy and not slow"]
    words += [f"--rootdir={ROOT}"]
    last = go(*words, "-c", str(ROOT / "pyproject.toml"), *map(str, files), cwd=tmp_path)
    assert " passed" in last.splitlines()[-1]


def test_fetch_push(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium_robotics")
    words = ["experiment=fetch_push", "threads=1", "trainer.total_steps=2500"]
    words += ["trainer.eval_episodes=8", "hydra.run.dir=run"]
    go("-m", "her_exp.train", *words, cwd=tmp_path)
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (written.agent.precision, written.products) == ("float32", "torch")
    result = result_of(tmp_path / "run")
    assert (result["status"], result["updates"]) == ("done", 400)


def test_the_benchmark_of_updates(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    script = str(ROOT / "scripts" / "bench_updates.py")
    words = ["--pairs", "1", "--capacity", "5000", "--threads", "1", "--nets", "256,256,256:256"]
    figures = json.loads(go(script, *words, cwd=tmp_path).splitlines()[-1])
    assert "bfloat16" not in json.dumps(figures)
    assert "stable-baselines3 / her_exp, with sampling" in json.dumps(figures)
