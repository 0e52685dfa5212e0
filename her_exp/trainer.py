"""The loop: collect, store, update, log, evaluate."""

from __future__ import annotations

import logging
from statistics import fmean as mean
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from her_exp import evaluation, pictures
from her_exp.checkpoint import save_policy
from her_exp.clock import Every, Stopwatch, Until
from her_exp.files import empty_result
from her_exp.logger import RunLogger
from her_exp.ranges import check_ranges
from her_exp.rollout import Episode, Rollout
from her_exp.types import Agent, Array, Buffer, GoalFunctions, Metrics, Step, UserError

log = logging.getLogger(__name__)

_LEVELS = (0.95, 0.99)  # success rates whose first evaluation is kept in result.json
_ROWS_A_CALL = 65_536  # rows drawn in one call of the buffer, at most: its workspace stays in reach


class Trainer:
    """Trains `agent` in `env` from `buffer`. Settings: see `conf/trainer/default.yaml`.

    Args:
        env: vector env to collect in.
        eval_env: another one, for evaluation only.
        goal_functions: says when a goal is met.
        buffer, agent: what keeps and what learns.
        logger: where numbers go.
        env_seed, eval_seed: seeds of lane 0 of each env.
        hparams: settings to show in TensorBoard's table.
    """

    def __init__(
        self,
        total_steps: int = 6000,
        learning_starts: int = 500,
        batch_size: int = 256,
        updates_per_step: float = 0.75,
        learn_every: int = 8,
        eval_every: int | None = 1000,
        eval_episodes: int = 100,
        log_every: int = 500,
        stop_at: float | None = None,
        picture: bool = True,
        progress: bool | None = None,
        *,
        env: VectorEnv,
        eval_env: VectorEnv,
        goal_functions: GoalFunctions,
        buffer: Buffer,
        agent: Agent,
        logger: RunLogger,
        env_seed: int,
        eval_seed: int,
        hparams: dict[str, Any] | None = None,
    ):
        check_ranges(
            "Trainer", total_steps=total_steps, learning_starts=learning_starts,
            batch_size=batch_size, updates_per_step=updates_per_step, learn_every=learn_every,
            eval_every=eval_every, eval_episodes=eval_episodes, log_every=log_every,
            stop_at=stop_at,
        )  # fmt: skip
        self.total_steps, self.learning_starts = total_steps, learning_starts
        self.batch_size, self.updates_per_step = batch_size, updates_per_step
        self.eval_episodes, self.stop_at, self.picture = eval_episodes, stop_at, picture
        self.env, self.eval_env, self.functions = env, eval_env, goal_functions
        self.buffer, self.agent, self.logger = buffer, agent, logger
        self.env_seed, self.eval_seed, self.hparams = env_seed, eval_seed, hparams or {}
        self.collecting = Until(total_steps)
        self.learn_now, self.log_now = Every(learn_every), Every(log_every)
        self.evaluate_now = Every(eval_every)
        self.rollout = Rollout(env, goal_functions)
        self.clock = Stopwatch()
        self.env_steps = self.episodes = self.updates = 0
        self.evaluated_at = self.logged_at = -1
        self.result: dict[str, Any] = {}
        self.reached: dict[str, dict[str, float]] = {}
        self.best = (-1.0, -np.inf)  # success and return of the best evaluation
        self._losses: list[Metrics] = []
        self._recent: list[float] = []

    def fit(self) -> float:
        """Train to the end; returns the success rate of the last evaluation.

        `result.json` says how it ended, also when it fails.
        """
        try:
            with self.logger:
                self._begin()
                while self.collecting(self.env_steps) and not self._solved():
                    self._collect()
                    if self.learn_now(self.env_steps):
                        self._learn()
                    if self.log_now(self.env_steps):
                        self._log()
                    if self.evaluate_now(self.env_steps):
                        self._evaluate()
                self._end()
            log.info("%s", evaluation.describe(self.result))
            return float(self.result["success_final"])
        except BaseException as error:
            reason = str(error) or type(error).__name__
            self._write_result("failed", reason)
            raise
        finally:
            self.env.close()
            self.eval_env.close()

    # -- the paragraphs of the story -------------------------------------------------------------

    def _begin(self) -> None:
        self.clock = Stopwatch()  # start-up is no training
        self._write_result("running")
        observation = self.rollout.reset(self.env_seed)
        self.buffer.begin(observation)
        goal = observation["desired_goal"]
        self.agent.observe(observation["observation"], goal, np.zeros(len(goal)), 0)

    def _collect(self) -> None:
        """One step in all lanes."""
        before = self.rollout.observation
        with self.clock("act"):
            action = self.agent.act(before["observation"], before["desired_goal"], explore=True)
        with self.clock("env"):
            step, ended = self.rollout.apply(action)
        with self.clock("store"):
            self.buffer.add(step)
            self._watch(step)
            steps = int(step.valid.sum())
            self.agent.observe(*self._seen(step), steps)
        self.env_steps += steps
        if ended:
            self._log_episodes(ended)

    def _seen(self, step: Step) -> tuple[Array, Array, Array]:
        """New states, and goals with the shares in which they are drawn, for the normaliser."""
        share = self.buffer.relabel_share
        desired = step.observation["desired_goal"][step.valid]
        achieved = step.next_observation["achieved_goal"][step.valid]
        weights = np.repeat([1.0 - share, share], len(desired))
        return step.next_observation["observation"], np.concatenate([desired, achieved]), weights

    def _watch(self, step: Step) -> None:
        watch = getattr(self.functions, "watch", None)
        if watch is not None and step.valid.any():
            watch(self.rollout.success[step.valid], step.terminated[step.valid])

    def _learn(self) -> None:
        """All updates that are due, drawn many a call."""
        due = int((self.env_steps - self.learning_starts) * self.updates_per_step) - self.updates
        a_call = max(1, _ROWS_A_CALL // self.batch_size)
        while due > 0:
            count = min(due, a_call)
            with self.clock("sample"):
                batches = self.buffer.sample(self.batch_size, count)
            with self.clock("update"):
                self._losses += [self.agent.update(batch) for batch in batches]
            self.updates += count
            due -= count

    def _log_episodes(self, ended: list[Episode]) -> None:
        """The mean of the episodes that ended with this step: TensorBoard keeps one value a step."""
        self.episodes += len(ended)
        self._recent = [*self._recent, *(float(e.success_final) for e in ended)][-100:]
        values = {
            "rollout/return": mean(e.total_reward for e in ended),
            "rollout/length": mean(float(e.length) for e in ended),
            "rollout/success": mean(float(e.success_final) for e in ended),
            "rollout/success_mean_100": mean(self._recent),
            "rollout/final_distance": mean(e.final_distance for e in ended),
            "rollout/met_at_reset": mean(float(e.met_at_reset) for e in ended),
            "rollout/episodes": float(self.episodes),
        }
        with self.clock("log"):
            self.logger.scalars(values, self.env_steps)

    def _log(self) -> None:
        """Losses since the last line, the buffer's own numbers, rates."""
        self.logged_at = self.env_steps
        with self.clock("log"):
            values = self._mean_losses()
            self._check_finite(values)
            metrics = getattr(self.buffer, "metrics", None)
            if metrics is not None:
                values |= {f"buffer/{key}": value for key, value in metrics().items()}
            values |= {f"time/{part}_s": spent for part, spent in self.clock.seconds.items()}
            training = max(self.clock.training, 1e-9)
            values["time/train_s"] = training
            values["time/env_steps_per_s"] = self.env_steps / training
            values["time/updates_per_s"] = self.updates / training
            values["train/updates"] = float(self.updates)
            self.logger.scalars(values, self.env_steps)
            self.logger.progress(self.env_steps, self._latest_success())

    def _mean_losses(self) -> dict[str, float]:
        if not self._losses:
            return {}
        # The only place where the metrics leave the device.
        means = {
            f"train/{key}": float(torch.stack([m[key] for m in self._losses]).float().mean())
            for key in self._losses[0]
        }
        self._losses = []
        return means

    def _check_finite(self, values: dict[str, float]) -> None:
        for tag, value in values.items():
            if not np.isfinite(value):
                raise UserError(
                    f"{tag} is {value} at env step {self.env_steps}: learning has diverged; try smaller "
                    "learning rates, agent.grad_clip_norm=1, or declare env.reward_range"
                )

    def _evaluate(self) -> None:
        with self.clock("evaluate"):
            result = evaluation.evaluate(
                self.eval_env,
                self.functions,
                self.agent,
                self.eval_episodes,
                self.eval_seed,
                paths=pictures.PATHS if self.picture else 0,
            )
            self.result = result.summary()
            self.evaluated_at = self.env_steps
            self._note_reached()
            self._log_evaluation(result)
            self._keep_policy()
            self._write_result("running")

    def _note_reached(self) -> None:
        for level in _LEVELS:
            if self.result["success_final"] >= level:
                self.reached.setdefault(
                    str(level),
                    {
                        "env_steps": self.env_steps,
                        "updates": self.updates,
                        "train_seconds": round(self.clock.training, 3),
                    },
                )

    def _log_evaluation(self, result: evaluation.Evaluation) -> None:
        plain = {k: float(v) for k, v in self.result.items() if k not in ("episodes", "interval")}
        low, high = self.result["interval"]
        plain |= {"interval_low": low, "interval_high": high}
        self.logger.scalars({f"eval/{k}": v for k, v in plain.items()}, self.env_steps)
        if self.picture and result.paths:
            self.logger.picture("eval/paths", pictures.draw(result, self.eval_env), self.env_steps)
        self.logger.progress(self.env_steps, self._latest_success())
        self.logger.flush()

    def _keep_policy(self) -> None:
        folder = self.logger.folder / "checkpoints"
        about = {"env_steps": self.env_steps, "success": self.result["success_final"]}
        save_policy(self.agent, folder / "last.pt", **about)
        # Ties in success are broken by return.
        score = (self.result["success_final"], self.result["return"])
        if score > self.best:
            self.best = score
            save_policy(self.agent, folder / "best.pt", **about)

    def _end(self) -> None:
        if self.evaluated_at != self.env_steps:
            self._evaluate()
        if self.logged_at != self.env_steps:
            self._log()
        success = float(self.result["success_final"])
        self.logger.hparams(self.hparams, {"eval/success_final": success})
        self._write_result("done")

    def _solved(self) -> bool:
        success = self._latest_success()
        return self.stop_at is not None and success is not None and success >= self.stop_at

    def _latest_success(self) -> float | None:
        return self.result.get("success_final")

    def _write_result(self, status: str, reason: str | None = None) -> None:
        self.logger.result(
            empty_result(status, reason)
            | {
                "env_steps": self.env_steps,
                "episodes": self.episodes,
                "updates": self.updates,
                "train_seconds": round(self.clock.training, 3),
                "wall_seconds": round(self.clock.wall, 3),
                "eval": self.result or None,
                "reached": self.reached,
            }
        )
