"""A job's share of the machine: how many jobs run at once, on how many cores, on which GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from her_exp.system.locks import take_lock
from her_exp.system.machine import cores
from her_exp.types import UserError

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
RAY = "hydra_plugins.her_exp.ray_launcher.RayLauncher"

#: Where a launcher says how many cores a job has; the thread pools of native libraries follow it.
_CORES_KEY = {SUBMITIT: "cpus_per_task", SLURM: "cpus_per_task", RAY: "num_cpus"}
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

#: Told by the process that launches to those of its jobs: the GPUs of this machine, by comma.
_GPUS = "HER_EXP_GPUS"

_place: IO[str] | None = None  # held open, and so locked, until this process ends


def workers(threads: object) -> int:
    """Return how many jobs of so many threads the cores hold, at least one."""
    if not isinstance(threads, int) or threads < 1:  # said where the jobs are checked
        return 1
    return max(1, cores() // threads)


def job_gpus(device: object) -> int | None:
    """Return how many GPUs a job asks a cluster for: one, or none at all."""
    return 1 if str(device).startswith("cuda") else None


def at_once(launcher: Mapping[str, Any]) -> int | None:
    """Return how many jobs a launcher runs at once on this machine; None: that is not up to us."""
    target = launcher["_target_"]
    if target == JOBLIB:
        asked = int(launcher["n_jobs"])
        return asked if asked > 0 else max(1, cores() + 1 + asked)
    if target == SUBMITIT:
        return workers(launcher["cpus_per_task"])
    return None if target in (SLURM, RAY) else 1


def check_threads(launcher: Mapping[str, Any], threads: Sequence[int], jobs: int | None) -> None:
    """See that each job's threads fit its share of the cores.

    Args:
        launcher: the node `hydra.launcher`, resolved.
        threads: what the jobs ask for.
        jobs: how many there are; None: not known.

    Raises:
        UserError: a job asks for more than its share.
    """
    most = max(threads)
    key = _CORES_KEY.get(launcher["_target_"])
    if key is not None and launcher[key] is not None and most > launcher[key]:
        raise UserError(
            f"threads={most}: a job has hydra.launcher.{key}={launcher[key]} cores; leave that out "
            f"or give hydra.launcher.{key}={most}"
        )
    if launcher["_target_"] != JOBLIB:
        return
    together = at_once(launcher) or 1
    together = together if jobs is None else min(together, jobs)
    share = max(1, cores() // together)
    if most > share:
        raise UserError(
            f"threads={most}: {together} jobs at once leave {share} of {cores()} cores to each; give "
            f"threads={share} or hydra.launcher.n_jobs={workers(most)}"
        )


def environment(threads: Sequence[int], devices: Sequence[str]) -> dict[str, str]:
    """Return what the processes of jobs inherit: the size of thread pools, the machine's GPUs."""
    told = dict.fromkeys(_POOLS, str(max(threads)))
    if set(devices) & {"cuda", "auto"}:  # cuda:1 is somebody's choice
        told[_GPUS] = ",".join(gpus())
    return told


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def has_place() -> bool:
    """Say whether this process has a place already, from an earlier job."""
    return _place is not None


def take_place(folder: Path, places: int) -> None:
    """Take one of `places` for this process, and its GPU; waits until one is free.

    A place is the lock on a file of `folder`, so that it becomes free whatever ends the process.
    With fewer GPUs than places several jobs share one.
    """
    global _place
    if has_place():
        return
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for number in range(places):
            _place = take_lock(folder / str(number))
            if _place is None:
                continue
            names = [name for name in os.environ.get(_GPUS, "").split(",") if name]
            if names:
                os.environ["CUDA_VISIBLE_DEVICES"] = names[number % len(names)]
            return
        time.sleep(0.1)
