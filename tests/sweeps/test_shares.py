"""What a sweep's job may take of the machine: no process of a job is started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins

from her_exp import CONF_DIR
from her_exp.sweeps.command_line import preflight
from her_exp.system import launchers as share
from her_exp.types import UserError

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `sweep`"),
]
SEEDS = ["-m", "seed=0,1"]


def set_cores(patch: pytest.MonkeyPatch, usable: int, quota: str = "max 100000") -> None:
    """Let this machine be one with so many cores."""
    read = Path.read_text

    def read_text(path: Path, *args: Any, **kwargs: Any) -> str:
        return quota if path.name == "cpu.max" else read(path, *args, **kwargs)

    patch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)))
    patch.setattr(Path, "read_text", read_text)


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cores(monkeypatch, 8)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)


def refusal(*words: str) -> str:
    with pytest.raises(UserError) as refused:
        preflight([*SEEDS, *words])
    return str(refused.value)


@pytest.mark.parametrize(
    ("quota", "expected"), [("150000 100000", 2), ("max 100000", 64), ("nonsense", 64)]
)
def test_cores_heed_the_affinity_and_the_container(
    quota: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_cores(monkeypatch, 64, quota)
    assert share.cores() == expected


@pytest.mark.parametrize(
    ("words", "threads"),
    [
        ("seed=range(8)", "1"),
        ("seed=range(8) threads=3", "3"),  # two workers by themselves
        ("seed=range(8) threads=2 hydra.launcher.n_jobs=4", "2"),
        ("seed=0,1 threads=4 hydra.launcher.n_jobs=4", "4"),  # two jobs leave workers idle
    ],
)
def test_threads_of_a_job_fit_its_share(words: str, threads: str, eight: None, here: Path) -> None:
    environment = preflight(["-m", "hydra/launcher=local", *words.split()]).environment
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == threads
    assert list(here.iterdir()) == []


WRONG = {
    "threads=3 hydra.launcher.n_jobs=4 buffer.k=range(4) hydra/launcher=local": (
        "threads=3: 4 jobs at once leave 2 of 8 cores to each; give threads=2 or hydra.launcher.n_jobs=2"
    ),
    "threads=1,2 hydra.launcher.n_jobs=-2 buffer.k=range(4) hydra/launcher=local": (
        "threads=2: 7 jobs at once leave 1 of 8 cores"
    ),
    "threads=9 hydra/launcher=local": "threads=9: 1 jobs at once leave 8 of 8 cores",
    "hydra/launcher=local hydra.launcher.n_jobs=0": "hydra.launcher.n_jobs=0: must be",
    "hydra/launcher=submitit hydra.launcher.cpus_per_task=2 threads=3": (
        "threads=3: a job has hydra.launcher.cpus_per_task=2 cores"
    ),
    "hydra/launcher=slurm": "hydra/launcher=slurm: sbatch and srun are not on the PATH",
    "hydra/launcher=cluster device=auto": (
        "device=auto: hydra/launcher=cluster must know whether a job takes a GPU"
    ),
    "hydra/launcher=cluster hydra.launcher.address='127.0.0.1:1'": "1: nothing answers there",
    "hydra/launcher=cluster hydra.launcher.address='a:b'": "address=a:b: must be host:port",
    "hydra/sweeper=optuna +hydra.sweeper.sampler.seeed=3": (
        "unknown key hydra.sweeper.sampler.seeed: did you mean hydra.sweeper.sampler.seed?"
    ),
    "hydra/sweeper=optuna hydra.sweeper.sampler.seed=x": "seed=x: must be an integer or null",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_settings_are_one_line(words: str, eight: None, here: Path) -> None:
    line = refusal(*words.split())
    assert WRONG[words] in line
    assert "\n" not in line
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("choice", "package"),
    [("launcher=local", "hydra_plugins.hydra_joblib_launcher"), ("sweeper=optuna", "optuna")],
)
def test_a_missing_package_is_one_line(
    choice: str, package: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugins.instance()  # finds them before they are gone
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(f"hydra/{choice}") == (
        f"hydra/{choice}: needs packages that are not installed; pip install 'her_exp[sweep]'"
    )


PLACE = """
import os, sys
from pathlib import Path
from her_exp.system.launchers import take_place
take_place(Path(sys.argv[1]), 3)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def test_each_process_has_a_place_and_its_gpu(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PLACE, str(tmp_path / "places")]
    env = os.environ | {"HER_EXP_GPUS": "3,MIG-a"}

    def begin() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, env=env, text=True)

    def gpu(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    three = [begin() for _ in range(3)]
    assert sorted(map(gpu, three)) == ["3", "3", "MIG-a"]  # the third shares the first
    fourth = begin()
    three[0].kill()  # whatever ends it, its place is free
    assert gpu(fourth) in ("3", "MIG-a")
    for process in (*three, fourth):
        process.communicate()


def test_gpus_are_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert share.environment([1, 2], ["cpu"]) == dict.fromkeys(names, "2")
    assert share.environment([1], ["cuda"])["HER_EXP_GPUS"] == "4,7"
    assert share.environment([1], ["auto"])["HER_EXP_GPUS"] == "4,7"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert share.gpus() == ["0", "1", "2"]
    assert [share.job_gpus(name) for name in ("cuda", "cuda:1", "cpu")] == [1, 1, None]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("device=cuda", "device=cuda: torch sees no CUDA device here"),
        ("buffer.capacity=1000000000000", "buffer.capacity=1000000000000: takes 64,000 GB"),
    ],
)
def test_jobs_elsewhere_may_ask_for_what_is_not_here(
    word: str, line: str, here: Path, slurm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    preflight([*SEEDS, word, "hydra/launcher=slurm"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"hydra.launcher.address=127.0.0.1:{server.getsockname()[1]}"
        preflight([*SEEDS, word, "hydra/launcher=cluster", address])
    for launcher in ("local", "cluster"):
        assert refusal(word, f"hydra/launcher={launcher}").startswith(line)


def test_overrides_as_the_documentation_writes_them(here: Path, slurm: None) -> None:
    files = [*(CONF_DIR / "hydra/launcher").iterdir(), CONF_DIR.parent / "docs/sweeps.md"]
    for launcher, word in (
        ("slurm", "+hydra.launcher.additional_parameters.mail-user=me@there"),
        ("cluster", "+hydra.launcher.init.log_to_driver=true"),
        ("cluster", "+hydra.launcher.init.namespace=mine"),
    ):
        assert any(word in file.read_text() for file in files)
        assert word in preflight([*SEEDS, f"hydra/launcher={launcher}", word]).argv
