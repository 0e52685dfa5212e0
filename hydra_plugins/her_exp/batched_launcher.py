"""Runs the jobs of a sweep in one program: those of one kind learn as one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from her_exp.config.hydra_api import plain, without_hydra
from her_exp.system.machine import prepare_process
from her_exp.system.signals import SignalWatch

log = logging.getLogger(__name__)


def _leave() -> tuple[list[logging.Handler], Any, str]:
    """Return what Hydra sets for a job: where its log goes, its config, its folder."""
    return list(logging.root.handlers), HydraConfig.instance().cfg, os.getcwd()


def _enter(held: tuple[list[logging.Handler], Any, str]) -> None:
    logging.root.handlers, HydraConfig.instance().cfg = list(held[0]), held[1]
    if os.getcwd() != held[2]:
        os.chdir(held[2])


class BatchedLauncher(Launcher):
    """Launches jobs in groups; each has the run folder that it would have had alone."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands to every launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what each returned, in their order."""
        from her_exp.together.members import run_together  # has torch; Hydra imports all plugins

        setup_globals()
        hydra = self.config.hydra
        configure_log(hydra.hydra_logging, hydra.verbose)
        Path(str(hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        configs = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(
                self.config, list(overrides)
            )
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            configs.append(config)
        plains = [self._plain(config) for config in configs]
        returned: dict[int, JobReturn] = {}
        with SignalWatch() as watch:
            for numbers in self._groups(plains, configs):
                for number in numbers:
                    words = " ".join(filter_overrides(job_overrides[number]))
                    why = f" (alone: {self._alone(plains[number], configs[number])})"
                    named = f"#{initial_job_idx + number}"
                    log.info("\t%s : %s%s", named, words, "" if numbers[1:] else why)
                bodies = [partial(self._run, configs[number]) for number in numbers]
                if len(bodies) > 1:  # also of this thread, in which they learn
                    prepare_process(int(configs[numbers[0]].threads), configs[numbers[0]].products)
                    ended = run_together(bodies, _leave, _enter)
                else:
                    ended = [bodies[0]()]
                for number, result in zip(numbers, ended, strict=True):
                    if isinstance(result, BaseException):
                        raise result  # a signal ended it, its checkpoint is written
                    returned[number] = result
                configure_log(hydra.hydra_logging, hydra.verbose)
                if watch.received is not None:  # it came when all of these were at their end
                    raise SystemExit(128 + watch.received)
        return [returned[number] for number in range(len(configs))]

    @staticmethod
    def _alone(values: dict[str, Any], config: DictConfig) -> str | None:
        if config.hydra.job.env_set:
            return "hydra.job.env_set is of the whole process"
        from her_exp.together.alike import alone

        return alone(values) or "none is like it"

    def _groups(
        self, values: Sequence[dict[str, Any]], configs: Sequence[DictConfig]
    ) -> Iterator[list[int]]:
        from her_exp.together.alike import groups

        for numbers in groups(values):
            if any(configs[number].hydra.job.env_set for number in numbers):
                yield from ([number] for number in numbers)
            else:
                yield numbers

    @staticmethod
    def _plain(config: DictConfig) -> dict[str, Any]:
        before = _leave()
        HydraConfig.instance().set_config(config)  # what resolvers ask for
        try:
            return plain(without_hydra(config))
        finally:
            _enter(before)

    def _run(self, config: DictConfig) -> JobReturn:
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
