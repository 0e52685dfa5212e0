"""Launchers, a record each, and a job's share of the machine: how many at once, on which cores and GPU."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from her_exp.system.locks import take_lock
from her_exp.system.machine import cores
from her_exp.types import UserError

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
RAY = "hydra_plugins.her_exp.ray_launcher.RayLauncher"
BATCHED = "hydra_plugins.her_exp.batched_launcher.BatchedLauncher"

Node = Mapping[str, Any]  # `hydra.launcher`, resolved


@dataclass(frozen=True)
class Launcher:
    """What there is to know of a launcher. One that is not in the table below is taken as by default."""

    needs: str | None = None  #: a module without which it cannot run
    in_turn: bool = False  #: jobs run in this very process, one after the other
    pool: bool = False  #: jobs share workers: the end of one job must not end its process
    cluster: bool = False  #: a job gets the GPUs that it asks for
    cores: str | None = None  #: its setting that says how many cores a job has
    at_once: Callable[[Node], int | None] = lambda _: 1  #: jobs on this machine; None: not up to us
    elsewhere: Callable[[Node], bool] = lambda _: False  #: do the jobs run on other machines?
    refuse: Callable[[Node], str | None] = lambda _: None  #: why it cannot run here, in a line


def launcher_of(node: Node) -> Launcher:
    """Return what is known of the launcher of a node `hydra.launcher`."""
    return LAUNCHERS.get(str(node.get("_target_")), Launcher())


def _joblib_workers(node: Node) -> int:
    asked = int(node["n_jobs"])
    return asked if asked > 0 else max(1, cores() + 1 + asked)


def _no_slurm(_: Node) -> str | None:
    if shutil.which("sbatch") and shutil.which("srun"):
        return None
    return (
        "hydra/launcher=slurm: sbatch and srun are not on the PATH; start the sweep on a machine of "
        "the cluster (without Slurm: hydra/launcher=local, or submitit to try it out)"
    )


def _no_ray(node: Node) -> str | None:
    """See that a cluster answers: Ray itself would try for minutes."""
    address = node["address"]
    if address is None or address == "auto":
        return None
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    given = f"hydra.launcher.address={address}"
    if not (host and port.isdigit()):
        return f"{given}: must be host:port of a running Ray cluster, or auto"
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        return f"{given}: nothing answers there ({error}); without an address a cluster is started here"
    return None


LAUNCHERS = {
    BASIC: Launcher(in_turn=True),
    BATCHED: Launcher(at_once=lambda _: None),
    JOBLIB: Launcher("hydra_plugins.hydra_joblib_launcher", pool=True, at_once=_joblib_workers),
    SUBMITIT: Launcher(
        "hydra_plugins.hydra_submitit_launcher",
        cores="cpus_per_task",
        at_once=lambda node: workers(node["cpus_per_task"]),
    ),
    SLURM: Launcher(
        "hydra_plugins.hydra_submitit_launcher",
        cluster=True,
        cores="cpus_per_task",
        at_once=lambda _: None,
        elsewhere=lambda _: True,
        refuse=_no_slurm,
    ),
    RAY: Launcher(
        "ray",
        cluster=True,
        cores="num_cpus",
        at_once=lambda _: None,
        elsewhere=lambda node: node["address"] is not None,
        refuse=_no_ray,
    ),
}

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


def check_threads(node: Node, threads: Sequence[int], jobs: int | None) -> None:
    """See that each job's threads fit its share of the cores.

    Args:
        node: `hydra.launcher`, resolved.
        threads: what the jobs ask for.
        jobs: how many there are; None: not known.

    Raises:
        UserError: a job asks for more than its share.
    """
    most, launcher = max(threads), launcher_of(node)
    key = launcher.cores
    if key is not None and node[key] is not None and most > node[key]:
        raise UserError(
            f"threads={most}: a job has hydra.launcher.{key}={node[key]} cores; leave that out "
            f"or give hydra.launcher.{key}={most}"
        )
    if not launcher.pool:
        return
    together = launcher.at_once(node) or 1
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
