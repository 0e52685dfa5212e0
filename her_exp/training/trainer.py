"""The loop: collect, store, update, log, evaluate, checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from her_exp.limits import Count, Level, NotNegative, NotNegativeCount, check_arguments
from her_exp.store.checkpoint import Checkpoints
from her_exp.store.folder import check_ours
from her_exp.system.signals import SignalWatch, Stopped, stop_if_asked
from her_exp.training import evaluation, pictures
from her_exp.training.barrier import Barrier
from her_exp.training.checks import LearningCheck, check_agent, close_all, verdict
from her_exp.training.clock import Every, Stopwatch, Until
from her_exp.training.logger import HParams, RunLogger
from her_exp.training.progress import Record
from her_exp.training.rollout import Rollout, shown
from her_exp.training.sinks import Sink
from her_exp.types import Agent, Buffer, GoalFunctions, Observation, UserError

log = logging.getLogger(__name__)

_PARTS = ("agent", "buffer", "functions", "record", "clock")  # of a checkpoint
_ROWS_A_CALL = 65_536  # rows drawn in one call of the buffer, at most: its workspace stays in reach


class Trainer:
    """Trains `agent` in `env` from `buffer`. Settings: see `conf/trainer/default.yaml`.

    Args:
        env, eval_env: vector envs, to collect and to evaluate in.
        goal_functions, eval_functions: say when a goal is met in each; None: in both alike.
        buffer, agent, logger: what keeps, what learns, and where numbers go.
        env_seed, eval_seed: seeds of lane 0 of each env.
        hparams: what TensorBoard's table of hyperparameters says of the run, if anything.
    """

    def __init__(
        self,
        total_steps: NotNegativeCount = 6000,
        learning_starts: NotNegativeCount = 500,
        batch_size: Count = 256,
        updates_per_step: NotNegative = 0.75,
        learn_every: Count = 8,
        offline_updates: NotNegativeCount = 0,
        eval_every: Count | None = 1000,
        eval_episodes: Count = 100,
        log_every: Count = 500,
        checkpoint_every: Count | None = 10_000,
        keep_checkpoints: Count = 2,
        short_checkpoints: bool = False,
        stop_at: Level | None = None,
        picture: bool = True,
        progress: bool | None = None,
        sinks: Sequence[Sink] = (),
        *,
        env: VectorEnv,
        eval_env: VectorEnv,
        goal_functions: GoalFunctions,
        eval_functions: GoalFunctions | None = None,
        buffer: Buffer,
        agent: Agent,
        logger: RunLogger,
        env_seed: int,
        eval_seed: int,
        hparams: HParams | None = None,
    ):
        check_arguments(Trainer, locals())
        self.total_steps, self.learning_starts = total_steps, learning_starts
        self.batch_size, self.updates_per_step = batch_size, updates_per_step
        self.eval_episodes, self.stop_at, self.picture = eval_episodes, stop_at, picture
        self.short_checkpoints, self.offline_updates = short_checkpoints, offline_updates
        self.env, self.eval_env, self.functions = env, eval_env, goal_functions
        self.judge = eval_functions  # of eval_env, where it is another
        self.buffer, self.agent, self.logger, self.sinks = buffer, agent, logger, sinks
        self.env_seed, self.eval_seed, self.hparams = env_seed, eval_seed, hparams
        self.collecting = Until(total_steps)
        self.schedules = [Every(n) for n in (learn_every, log_every, eval_every, checkpoint_every)]
        self.learn_now, self.log_now, self.evaluate_now, self.checkpoint_now = self.schedules
        self.rollout = Rollout(env, goal_functions)
        self.checkpoints = Checkpoints(logger.folder / "checkpoints", keep_checkpoints)
        self.clock = Stopwatch()
        self.record = Record(LearningCheck(agent.return_range))
        self.barrier = Barrier(self.rollout, env_seed, self._start_episodes)

    def fit(self) -> float:
        """Train to the end; returns the success rate of the last evaluation.

        `result.json` says how it ended, also when it fails.

        Raises:
            Stopped: a signal asked for it; a checkpoint of that moment is written.
        """
        try:
            with self.logger, SignalWatch() as signals:
                self._train(signals)
            log.info("%s", self.clock.describe())
            log.info("%s", evaluation.describe(self.record.result))
            return float(self.record.result["success_final"])
        except BaseException as error:
            with suppress(OSError, UserError):  # of a full disk, a lost folder, it tells more
                self._write_result(*verdict(error, self.record.env_steps))
            if isinstance(error.__cause__ or error, OSError):  # its folder went during a write?
                check_ours(self.logger.folder)
            raise
        finally:
            close_all(self.env, self.eval_env, self.functions, self.judge, self.logger.sinks)

    # -- the story -------------------------------------------------------------------------------

    def _train(self, signals: SignalWatch) -> None:
        self._begin(signals)
        while self.collecting(self.record.env_steps) and not self._solved():
            self._collect()
            if self.learn_now(self.record.env_steps):
                self._learn()
            if self.log_now(self.record.env_steps):
                self._log()
            if self.evaluate_now(self.record.env_steps):
                self._evaluate()
            if self.checkpoint_now(self.record.env_steps):
                self._checkpoint_at_barrier()
            if signals.received is not None:
                self._checkpoint()
                raise Stopped(signals.received)
        self._end()

    def _collect(self) -> None:
        """One step in all lanes."""
        with self.clock("act"):
            action = self.agent.act(*self.rollout.inputs(), explore=True)
        with self.clock("env"):
            try:
                step, ended = self.rollout.apply(action)
            except UserError:
                self.record.check_learning()  # where that has diverged, it is the reason
                raise
        with self.clock("store"):
            self.buffer.add(step)
            self.functions.watch(step.success[step.valid], step.terminated[step.valid])
            steps = int(step.valid.sum())
            self.agent.observe(*shown(step, self.buffer.achieved_share), steps)
        self.record.env_steps += steps
        if ended:
            with self.clock("log"):
                self.logger.scalars(self.record.ended(ended), self.record.env_steps)

    # -- its paragraphs --------------------------------------------------------------------------

    def _begin(self, signals: SignalWatch) -> None:
        self.logger.begin(self.sinks)
        self.clock.start()  # start-up is no training
        self._write_result("running")
        due, self.record.evaluation_due = self.record.evaluation_due, False
        if due and self.evaluate_now.interval is not None:
            self._evaluate()
        if self.offline_updates:
            self._learn_offline(signals)
        steps = self.record.env_steps
        kind = self.barrier.start(steps, more=self.collecting(steps))
        if kind == "due":
            self._checkpoint_at_barrier()
        elif kind == "cut":  # by the stop: no fault of the schedule
            self.record.episodes_before = -1

    def _start_episodes(self, observation: Observation) -> None:
        self.buffer.begin(dict(observation))
        state, goal = self.rollout.inputs()
        self.agent.observe(state, goal, np.zeros(len(goal)), 0)

    def _learn_offline(self, signals: SignalWatch) -> None:
        """All updates before the first env step: of demonstrations, the buffer has nothing else yet."""
        last, record = self.offline_updates, self.record
        tenth = max(1, last // 10)
        while record.offline < last:
            rest = min(tenth - record.offline % tenth, last - record.offline)
            record.offline += self._update(rest)
            if record.offline % tenth == 0 or record.offline == last:
                values = record.losses("offline")
                log.info("offline: %d of %d updates", record.offline, last)
                if record.offline == last:
                    self.logger.scalars(values, record.env_steps)
                if self.checkpoint_now.interval is not None:
                    self._checkpoint()
            if signals.received is not None:
                self._checkpoint()
                raise Stopped(signals.received)
        if self.evaluate_now.interval is not None and record.evaluated_at < 0:
            self._evaluate()

    def _learn(self) -> None:
        """All updates that are due."""
        due = int((self.record.env_steps - self.learning_starts) * self.updates_per_step)
        due -= self.record.updates - self.record.offline
        while due > 0:
            due -= self._update(due)

    def _update(self, most: int) -> int:
        """Learn from batches drawn in one call, at most so many; returns their number."""
        count = min(most, max(1, _ROWS_A_CALL // self.batch_size))
        with self.clock("sample"):
            batches = self.buffer.sample(self.batch_size, count)
        with self.clock("update"):
            self.record.learned(self.agent.update_all(batches))
        return count

    def _log(self) -> None:
        """Losses since the last line, the buffer's own numbers, rates."""
        with self.clock("log"):
            values = self.record.losses()
            values |= {f"buffer/{key}": value for key, value in self.buffer.metrics().items()}
            values |= self.clock.metrics(self.record.env_steps, self.record.updates)
            self.logger.scalars(values, self.record.env_steps)
            self.logger.progress(self.record.env_steps, self.record.success)

    def _evaluate(self) -> None:
        """Play, log, keep the policy; a signal leaves all that to the run that goes on."""
        self._check_learning()
        train_seconds = self.clock.training  # before this evaluation, which is no training
        steps = self.record.env_steps
        try:
            with self.clock("evaluate"):
                result = evaluation.evaluate(
                    self.eval_env, self.judge or self.functions, self.agent, self.eval_episodes,
                    self.eval_seed, pictures.PATHS if self.picture else 0, before_step=stop_if_asked,
                )  # fmt: skip
        except Stopped:
            self.record.evaluation_due = True
            self._checkpoint("due" if self.checkpoint_now(steps) else None)
            raise
        with self.clock("evaluate"):
            self.logger.scalars(self.record.evaluated(result, train_seconds), steps)
            if result.paths:
                self.logger.picture("eval/paths", pictures.draw(result), steps)
            self.logger.progress(steps, self.record.success)
            if not self.logger.shows_bar:
                log.info("%d steps: success %.1f%%", steps, 100 * (self.record.success or 0.0))
            self.logger.flush()
            about = {"env_steps": steps, "success": self.record.success}
            self.checkpoints.save_policy(self.agent, self.record.is_best(), **about)
            self._write_result("running")

    def _check_learning(self) -> None:
        self.record.check_learning()
        check_agent(self.agent.state_dict())

    def _end(self) -> None:
        if self.record.evaluated_at != self.record.env_steps:
            self._evaluate()
        if self.record.logged_at != self.record.env_steps:
            self._log()
        if self.hparams is not None:
            self.logger.hparams(self.hparams)
        self._checkpoint()
        self._write_result("done")

    def _solved(self) -> bool:
        return self.stop_at is not None and (self.record.success or -1.0) >= self.stop_at

    def _write_result(self, status: str, reason: str | None = None) -> None:
        seconds = self.clock.training, self.clock.wall
        self.logger.result(self.record.as_result(status, reason, *seconds))

    # -- stopping and going on ---------------------------------------------------------------------

    def _checkpoint_at_barrier(self) -> None:
        """Save where every run resets its envs; refused where no episode ever ends between two of them."""
        if self.record.episodes == self.record.episodes_before and not self.short_checkpoints:
            raise UserError(
                f"trainer.checkpoint_every={self.checkpoint_now.interval}: no episode ended since the "
                "last checkpoint, which cuts them; give at least two episodes of every lane"
            )
        self.record.episodes_before = self.record.episodes
        self.barrier.reset(self.record.env_steps)
        self._checkpoint()

    def _checkpoint(self, kind: str | None = None) -> None:
        """Save everything; `kind` says how the envs come back, if not as they stand."""
        self._check_learning()
        with self.clock("checkpoint"):
            steps = self.record.env_steps
            envs = self.barrier.state(steps) if kind is None else {"kind": kind}
            state = {name: getattr(self, name).state_dict() for name in _PARTS}
            # Last: what was logged up to here is on the disk before the checkpoint is.
            state |= {"envs": envs, "log": self.logger.position()}
            self.checkpoints.save(state, steps)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint: call it before `fit`, with parts made from the run's config."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        for every in self.schedules:
            every.skip_to(self.record.env_steps)
        self.barrier.load_state(state["envs"])
