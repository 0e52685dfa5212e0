"""Searches settings by Optuna; a study is kept in the sweep's folder and goes on from there.

Three things are done for that. A trial that was running when the process died is run again under its
number, so that its job resumes in its folder. A failed one is tried again by the next command, once.
And the sampler is made anew for each batch, seeded by its seed and the trials so far: a study that
went on has drawn the values of one that never stopped.

The same command may be given several times at once. Each then takes trials of its own: who runs one holds
the lock on its file in the sweep's folder, which any death frees, and one at a time looks and draws.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from her_exp.config.hydra_api import plain
from her_exp.sweeps.jobs import launched
from her_exp.sweeps.space import Choice, Dimension, dimensions
from her_exp.system.launchers import launcher_of
from her_exp.system.locks import is_locked, take_lock
from her_exp.system.signals import Stopped
from her_exp.text import one_line
from her_exp.types import UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

#: Trials at a time on a cluster, where the launcher does not say how many run at once.
_BATCH = 8


class OptunaSweeper(Sweeper):
    """Runs a study of `n_trials` trials; each is a job, named by its overrides like any other.

    Args:
        sampler: node of an Optuna sampler, made anew for each batch; its `seed` is mixed.
        direction: 'maximize' or 'minimize'.
        storage: URL of the database; None keeps the study in memory.
        study_name: its name there.
        n_trials: how many trials with a result the study shall have.
        n_jobs: trials of a batch; None: as many as the launcher runs at once.
        params: overrides of the search, as in a config file.
    """

    def __init__(
        self,
        sampler: Mapping[str, Any],
        direction: str,
        storage: str | None,
        study_name: str | None,
        n_trials: int,
        n_jobs: int | None,
        params: Mapping[str, Any] | None,
    ):
        self.sampler, self.direction = dict(sampler), direction
        self.storage, self.study_name = storage, study_name
        self.n_trials, self.n_jobs, self.params = n_trials, n_jobs, params or {}
        self.jobs = 0
        self._held: dict[int, IO[str]] = {}  # the locks of the trials that run here

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands to every sweeper."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        if self.n_jobs is None:
            node = plain(config.hydra.launcher)
            self.n_jobs = launcher_of(node).at_once(node) or _BATCH

    def sweep(self, arguments: list[str]) -> None:
        """Run what is left of the study."""
        import optuna

        assert self.config is not None
        assert self.hydra_context is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # of every step of making a database
        asked = [f"{key}={value}" for key, value in self.params.items()] + arguments
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(asked)
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        space = {key: _distribution(dim) for key, dim in dimensions(overrides).items()}
        self.folder = Path(self.config.hydra.sweep.dir).absolute()
        (self.folder / ".trials").mkdir(parents=True, exist_ok=True)
        try:
            with self._alone():  # two at once would both make the database
                study = optuna.create_study(
                    study_name=self.study_name,
                    storage=self.storage,
                    direction=self.direction,
                    load_if_exists=True,
                )
        except Exception as error:  # whatever a database says of a file that is none
            reason = one_line(str(error))[:200]
            raise UserError(
                f"hydra.sweeper.storage={self.storage}: cannot be read ({reason})"
            ) from error
        self._run(study, space, fixed)
        self._report(study, self.folder)

    def _run(self, study: Study, space: dict[str, BaseDistribution], fixed: Sequence[str]) -> None:
        with self._alone():
            failed = self._again(study, space)
        while batch := self._next(study, space, failed):
            self._launch(study, batch, fixed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other command looks at the trials or draws one."""
        while (held := take_lock(self.folder / ".study.lock")) is None:
            time.sleep(0.05)
        with held:
            yield

    def _file(self, number: int) -> Path:
        return self.folder / ".trials" / str(number)

    def _next(
        self, study: Study, space: dict[str, BaseDistribution], failed: int
    ) -> dict[int, dict[str, Any]]:
        """Take the trials of the next batch: first those whose process died, then new ones."""
        from optuna.trial import TrialState

        assert self.n_jobs is not None
        with self._alone():
            trials = study.get_trials(deepcopy=False)
            running = [t for t in trials if t.state == TrialState.RUNNING]
            left = [t for t in running if not is_locked(self._file(t.number))]
            done = sum(t.state == TrialState.COMPLETE for t in trials)
            since = _failed(trials, space) - failed  # these the next command tries again
            todo = self.n_trials - done - since - (len(running) - len(left))
            size = min(self.n_jobs, max(0, todo))
            mine = [t for t in left if t.distributions == space]
            batch = {t.number: t.params for t in mine[:size]}
            study.sampler = self._sampler(len(trials))
            while len(batch) < size:
                trial = study.ask(space)
                batch[trial.number] = trial.params
            for number in batch:
                held = take_lock(self._file(number))
                assert held is not None  # nobody else looks
                self._held[number] = held
        return batch

    def _again(self, study: Study, space: dict[str, BaseDistribution]) -> int:
        """Queue the trials that failed, once; returns how many have failed so far."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        known = [t.params for t in trials if t.state == TrialState.COMPLETE]
        known += [
            t.system_attrs.get("fixed_params") for t in trials if t.state == TrialState.WAITING
        ]
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.distributions == space:
                known.append(trial.params)
            elif trial.state == TrialState.RUNNING and not is_locked(self._file(trial.number)):
                study.tell(
                    trial.number, state=TrialState.FAIL
                )  # of another search, or not yet drawn
        for trial in trials:
            again = trial.state == TrialState.FAIL and trial.distributions == space
            if again and trial.params not in known:
                study.enqueue_trial(trial.params)
                known.append(trial.params)
        done = sum(t.state == TrialState.COMPLETE for t in trials)
        log.info("study %s: %d of %d trials are done", study.study_name, done, self.n_trials)
        return _failed(trials, space)

    def _sampler(self, trials: int) -> Any:
        import numpy as np

        node = dict(self.sampler)
        if node.get("seed") is not None:
            seed = np.random.SeedSequence([int(node["seed"]), trials]).generate_state(1)
            node["seed"] = int(seed[0])
        return instantiate(node)

    def _launch(
        self, study: Study, batch: Mapping[int, dict[str, Any]], fixed: Sequence[str]
    ) -> None:
        """Run a batch of trials; equal ones are one job, for they would share its folder."""
        jobs: dict[tuple[str, ...], list[int]] = {}
        for number, params in batch.items():
            drawn = [f"{key}={value}" for key, value in params.items()]
            jobs.setdefault((*drawn, *fixed), []).append(number)
        assert self.launcher is not None
        returned = self.launcher.launch(list(jobs), initial_job_idx=self.jobs)
        self.jobs += len(jobs)
        for result in returned:
            assert result.hydra_cfg is not None
            launched.add(Path(result.hydra_cfg.hydra.runtime.output_dir).name)
        stopped = None
        for numbers, result in zip(jobs.values(), returned, strict=True):
            reason = result._return_value
            if isinstance(
                reason, Stopped
            ):  # stays a running trial: the next command goes on with it
                stopped = reason
            else:
                self._tell(study, numbers, result)
        if stopped is not None:
            raise stopped

    def _tell(self, study: Study, numbers: Sequence[int], result: JobReturn) -> None:
        from optuna.trial import TrialState

        good = result.status == JobStatus.COMPLETED
        value = float(result.return_value) if good else math.nan
        for number in numbers:
            if math.isnan(value):
                study.tell(number, state=TrialState.FAIL)
                log.warning("trial %d failed; the same command again tries it once more", number)
            else:
                study.tell(number, value)
        with self._alone():  # not while another command has seen it run and asks who runs it
            for number in numbers:
                self._held.pop(number).close()
                self._file(number).unlink()

    def _report(self, study: Study, folder: Path) -> None:
        from optuna.trial import TrialState

        if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            log.error("no trial has a result")
            return
        best = study.best_trial
        found = {"name": "optuna", "best_params": best.params, "best_value": best.value}
        OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
        words = " ".join(f"{key}={value}" for key, value in best.params.items())
        log.info("best: trial %d, %g, with %s", best.number, best.value, words)


def _failed(trials: Sequence[FrozenTrial], space: dict[str, BaseDistribution]) -> int:
    return sum(t.state.name == "FAIL" and t.distributions == space for t in trials)


def _distribution(dim: Dimension) -> BaseDistribution:
    from optuna import distributions

    if isinstance(dim, Choice):
        return distributions.CategoricalDistribution(dim.values)
    if all(isinstance(end, int) for end in (dim.low, dim.high)):
        return distributions.IntDistribution(
            int(dim.low), int(dim.high), log=dim.log, step=int(dim.step or 1)
        )
    return distributions.FloatDistribution(dim.low, dim.high, log=dim.log, step=dim.step)
