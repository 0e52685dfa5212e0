"""Runs the jobs of a sweep on a Ray cluster.

Ray's own retries begin a job again whose node died; the job then goes on from its checkpoint. Every
job's result is waited for, so that a lost one takes no other with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    run_job,
    setup_globals,
)
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal ended the job on its node; its checkpoint is written."""


class RayLauncher(Launcher):
    """Launches jobs as Ray tasks.

    Args:
        address: of a running cluster; None: one is started on this machine.
        num_cpus, num_gpus: what a job takes.
        max_retries: how often a job is begun again whose process or node ended.
        init: other arguments of `ray.init`.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus: int = 1,
        num_gpus: float | None = None,
        max_retries: int = 10,
        init: Mapping[str, Any] | None = None,
    ):
        # What jobs print stands in their own run.log.
        # None would be whatever cluster was begun on this machine.
        self.init = {"address": address or "local", "log_to_driver": False, **(init or {})}
        self.options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": max_retries}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands to every launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what each returned, in their order."""
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        self._connect()
        task = ray.remote(**self.options, retry_exceptions=[Interrupted])(_run)
        state = ray.put(Singleton.get_state())
        running = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            config = self.hydra_context.config_loader.load_sweep_config(
                self.config, list(overrides)
            )
            with open_dict(config):
                config.hydra.job.id, config.hydra.job.num = f"ray_{number}", number
            running.append(task.remote(self.hydra_context, config, self.task_function, state))
        waiting = list(running)
        while waiting:
            _, waiting = ray.wait(waiting)
            log.info("%d of %d jobs have ended", len(running) - len(waiting), len(running))
        return [_result(job) for job in running]

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray would take the variable away from workers without a GPU, and says so at length.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self.init["address"] == "local":
            ray.init(**{"include_dashboard": False, **self.init})
        else:
            ray.init(**self.init)
        log.info("Ray: %d cores", ray.cluster_resources().get("CPU", 0))


def _run(
    hydra_context: HydraContext, config: DictConfig, task_function: TaskFunction, state: Any
) -> JobReturn:
    """Run one job in a process of the cluster."""
    setup_globals()
    Singleton.set_state(state)
    os.chdir(config.hydra.runtime.cwd)  # a sweep's folder is given relative to it
    try:
        return run_job(
            hydra_context=hydra_context,
            task_function=task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except SystemExit as stop:
        raise Interrupted(f"ended with {stop.code}") from stop


def _result(job: Any) -> JobReturn:
    import ray

    try:
        returned = ray.get(job)
        assert isinstance(returned, JobReturn)
        return returned
    except ray.exceptions.RayError as error:
        lost = JobReturn(status=JobStatus.FAILED)
        lost.return_value = error
        log.error("%s", str(error).splitlines()[-1])
        return lost
