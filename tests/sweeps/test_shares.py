"""What a sweep's job may take of the machine: no process of a job is started."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from her_exp import CONF_DIR
from her_exp.config import rules
from her_exp.sweeps import plan as sweep_plan
from her_exp.sweeps.command_line import preflight
from her_exp.system import launchers as share
from her_exp.types import UserError
from hydra_plugins.her_exp.ray_launcher import RayLauncher

pytestmark = pytest.mark.heavy
LOCAL = ["-m", "seed=range(8)", "hydra/launcher=local"]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here runs a launcher, so nothing needs the extra `sweep`."""
    monkeypatch.setattr(sweep_plan, "find_spec", lambda _: True)


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "cores", lambda: 8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cores_heed_the_affinity_and_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= share.cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for text, expected in (("150000 100000", 2), ("max 100000", 64), ("nonsense", 64)):
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        assert share.cores() == expected


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ({"_target_": share.JOBLIB, "n_jobs": 3}, 3),
        ({"_target_": share.JOBLIB, "n_jobs": -1}, 8),
        ({"_target_": share.JOBLIB, "n_jobs": -2}, 7),
        ({"_target_": share.SUBMITIT, "cpus_per_task": 3}, 2),
        ({"_target_": share.SUBMITIT, "cpus_per_task": 99}, 1),
        ({"_target_": share.SLURM, "cpus_per_task": 1}, None),
        ({"_target_": share.RAY, "num_cpus": 1}, None),
        ({"_target_": share.BASIC}, 1),
    ],
)
def test_jobs_at_once(launcher: dict[str, Any], expected: int | None, eight: None) -> None:
    assert share.launcher_of(launcher).at_once(launcher) == expected


@pytest.mark.parametrize(
    ("words", "threads", "wrong"),
    [
        ([], "1", None),
        (["threads=3"], "3", None),  # two workers by themselves
        (["threads=2", "hydra.launcher.n_jobs=4"], "2", None),
        (["threads=3", "hydra.launcher.n_jobs=4"], "", "4 jobs at once leave 2 of 8 cores to each; "
         "give threads=2 or hydra.launcher.n_jobs=2"),
        (["threads=1,2", "hydra.launcher.n_jobs=8"], "", "8 jobs at once leave 1 of 8 cores"),
        (["threads=9"], "", "threads=9: 1 jobs at once leave 8 of 8 cores"),
    ],
)  # fmt: skip
def test_threads_of_a_job_fit_its_share(
    words: list[str], threads: str, wrong: str | None, eight: None, here: Path
) -> None:
    if wrong:
        with pytest.raises(UserError, match=wrong):
            preflight([*LOCAL, *words])
    else:
        environment = preflight([*LOCAL, *words]).environment
        assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == threads
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("submitit hydra.launcher.cpus_per_task=2 threads=3",
         "threads=3: a job has hydra.launcher.cpus_per_task=2 cores"),
        ("local hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0: must be"),
        ("local hydra.launcher.n_job=2", "did you mean hydra.launcher.n_jobs?"),
        ("slurm", "hydra/launcher=slurm: sbatch and srun are"),
    ],
)  # fmt: skip
def test_wrong_settings_of_a_launcher(words: str, line: str, here: Path) -> None:
    with pytest.raises(UserError, match=re.escape(line)):
        preflight(["-m", "seed=1,2", *f"hydra/launcher={words}".split()])


def test_two_jobs_on_four_workers_have_half_the_machine_each(eight: None, here: Path) -> None:
    preflight(["-m", "seed=0,1", "hydra/launcher=local", "hydra.launcher.n_jobs=4", "threads=4"])


@pytest.mark.parametrize("launcher", ["local", "submitit", "cluster"])
def test_a_missing_package_is_one_line(
    launcher: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_plan, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        preflight(["-m", "seed=0,1", f"hydra/launcher={launcher}"])
    assert str(caught.value) == (
        f"hydra/launcher={launcher}: needs packages that are not installed; "
        "pip install 'her_exp[sweep]'"
    )
    with pytest.raises(UserError, match="hydra/sweeper=optuna: needs packages"):
        preflight(["-m", "seed=0,1", "hydra/sweeper=optuna"])


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
    freed = next(number for number, process in enumerate(three) if process.poll() is None)
    three[freed].kill()  # whatever ends it, its place is free
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


def test_jobs_elsewhere_may_ask_for_a_device_that_is_not_here(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = ["-m", "seed=0,1", "device=cuda", "hydra/launcher=cluster"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        preflight([*words, f"hydra.launcher.address=127.0.0.1:{server.getsockname()[1]}"])
    with pytest.raises(UserError, match="device=cuda: torch sees no CUDA device here"):
        preflight(words)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:1", "nothing answers there"),
        ("head", "must be host:port"),
        ("a:b", "must be host"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, line: str, here: Path) -> None:
    with pytest.raises(UserError, match=f"^hydra.launcher.address={address}: {line}"):
        preflight(
            ["-m", "seed=0,1", "hydra/launcher=cluster", f"hydra.launcher.address='{address}'"]
        )


@pytest.mark.parametrize("init", [{}, {"include_dashboard": True}])
def test_arguments_of_ray_init_win(init: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **arguments: given.update(arguments),
        cluster_resources=dict,
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    RayLauncher(init=init)._connect()
    assert given == {"address": "local", "log_to_driver": False, "include_dashboard": bool(init)}


def test_jobs_elsewhere_may_ask_for_memory_that_is_not_here(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "machine_bytes", lambda: 10**6)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    preflight(["-m", "seed=0,1", "hydra/launcher=slurm"])
    with pytest.raises(UserError, match=r"buffer\.capacity=.*this machine has"):
        preflight(["-m", "seed=0,1", "hydra/launcher=local"])


@pytest.mark.parametrize("launcher", ["slurm", "cluster"])
def test_a_cluster_must_know_whether_a_job_takes_a_gpu(
    launcher: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    words = ["-m", "seed=0,1", f"hydra/launcher={launcher}"]
    with pytest.raises(UserError) as refused:
        preflight([*words, "device=auto"])
    assert str(refused.value) == (
        f"device=auto: hydra/launcher={launcher} must know whether a job takes a GPU; "
        "give device=cuda or device=cpu"
    )
    preflight([*words, "device=cpu"])


@pytest.mark.parametrize(
    ("launcher", "word"),
    [
        ("slurm", "+hydra.launcher.additional_parameters.mail-user=me@there"),
        ("cluster", "+hydra.launcher.init.log_to_driver=true"),
        ("cluster", "+hydra.launcher.init.namespace=mine"),
    ],
)
def test_overrides_as_the_documentation_writes_them(
    launcher: str, word: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    files = [*(CONF_DIR / "hydra/launcher").iterdir(), CONF_DIR.parent / "docs/sweeps.md"]
    assert any(word in file.read_text() for file in files)
    assert word in preflight(["-m", "seed=0,1", f"hydra/launcher={launcher}", word]).argv


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("+hydra.sweeper.sampler.seeed=3",
         "unknown key hydra.sweeper.sampler.seeed: did you mean hydra.sweeper.sampler.seed?"),
        ("hydra.sweeper.sampler.n_startup_trials=-5",
         "hydra.sweeper.sampler.n_startup_trials=-5: must be >= 0"),
        ("hydra.sweeper.sampler.seed=x",
         "hydra.sweeper.sampler.seed=x: must be an integer or null"),
    ],
)  # fmt: skip
def test_values_of_a_sampler_are_checked(word: str, line: str, here: Path) -> None:
    pytest.importorskip("optuna")
    words = ["-m", "hydra/sweeper=optuna", "buffer.k=choice(1,2)"]
    preflight(words)
    with pytest.raises(UserError) as refused:
        preflight([*words, word])
    assert str(refused.value) == line
