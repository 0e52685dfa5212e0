"""Runs the jobs of a sweep in one program: those of one kind learn as one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from her_exp.config.hydra_api import plain, without_hydra
from her_exp.system.signals import SignalWatch
from her_exp.together.alike import alone, groups
from her_exp.together.members import run_together

log = logging.getLogger(__name__)


def _leave() -> tuple[list[logging.Handler], Any]:
    """Return what Hydra sets for a job: where its log goes, and its config."""
    return list(logging.root.handlers), HydraConfig.instance().cfg


def _enter(held: tuple[list[logging.Handler], Any]) -> None:
    logging.root.handlers, HydraConfig.instance().cfg = list(held[0]), held[1]


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
        for numbers in groups(plains):
            for number in numbers:
                words = " ".join(filter_overrides(job_overrides[number]))
                why = alone(plains[number]) or (None if numbers[1:] else "none is like it")
                log.info("\t#%d : %s%s", number, words, f" (alone: {why})" if why else "")
            bodies = [partial(self._run, configs[number]) for number in numbers]
            with SignalWatch():
                ended = run_together(bodies, _leave, _enter) if bodies[1:] else [bodies[0]()]
            for number, result in zip(numbers, ended, strict=True):
                if isinstance(
                    result, BaseException
                ):  # a signal ended it, its checkpoint is written
                    raise result
                returned[number] = result
            configure_log(hydra.hydra_logging, hydra.verbose)
        return [returned[number] for number in range(len(configs))]

    @staticmethod
    def _plain(config: DictConfig) -> dict[str, object]:
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
