"""From a config to a trainer: the one place where the parts meet."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
from hydra.utils import instantiate, to_absolute_path
from omegaconf import DictConfig, OmegaConf

from her_exp.config.hydra_api import plain
from her_exp.config.parts import ready
from her_exp.envs.make import GoalTask
from her_exp.store.checkpoint import restore
from her_exp.store.folder import swept_of
from her_exp.system.machine import resolve_device
from her_exp.together.members import seat
from her_exp.training.checks import close_all
from her_exp.training.demonstrate import with_demonstrations
from her_exp.training.logger import HParams, RunLogger
from her_exp.training.trainer import Trainer
from her_exp.types import Agent, Buffer, UserError

log = logging.getLogger(__name__)

#: The streams of randomness, in a fixed order: one new at the end changes none of the others.
_STREAMS = ("env", "agent", "buffer", "evaluation", "held_out", "demonstrations")


def streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Return one SeedSequence for each stream of randomness of a run."""
    children = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    return dict(zip(_STREAMS, children, strict=True))


def env_seed(stream: np.random.SeedSequence) -> int:
    """Return an env's seed below 2**31 - 2**16, so that lane i can take seed + i."""
    return int(stream.generate_state(1)[0]) % (2**31 - 2**16)


def make(node: DictConfig, **runtime: Any) -> Any:
    """Return the object that a `_target_` node describes, with what is known only at run time.

    The run-time arguments do not pass through OmegaConf, which would take tuples and dataclasses apart.
    """
    return instantiate(node, _partial_=True)(**runtime)


def make_agent(cfg: DictConfig, task: GoalTask, device: str) -> Agent:
    """Return the agent of a config, made for the task's spaces."""
    agent: Agent = make(
        OmegaConf.create(ready("agent", plain(cfg.agent))),
        spaces=task.spaces,
        reward_range=task.reward_range,
        seed=streams(cfg.seed)["agent"],
        device=device,
    )
    return agent


def make_trainer(cfg: DictConfig, folder: Path, state: Mapping[str, Any] | None = None) -> Trainer:
    """Return the trainer of a config; it writes into `folder` and goes on from `state`, if given.

    `cfg.env.backend`, `cfg.device` and `cfg.agent.precision` are written back resolved.
    """
    with ExitStack() as opened:  # a failure on the way leaves no process and no file behind
        trainer = _make_trainer(cfg, folder, state, opened)
        if state is not None:
            restore(trainer, state, "the checkpoint")
        opened.pop_all()  # from here on the trainer closes what is open
    return trainer


def _make_trainer(
    cfg: DictConfig, folder: Path, state: Mapping[str, Any] | None, opened: ExitStack
) -> Trainer:
    def closing(thing: Any) -> Any:
        opened.callback(close_all, thing)
        return thing

    seeds = streams(cfg.seed)
    task: GoalTask = make(cfg.env)
    lanes = getattr(task, "collecting", task)
    cfg.env.backend, cfg.device = task.backend, resolve_device(cfg.device)
    place = seat()  # among other jobs: what learns and acts is theirs together, the rest stays here
    device = "cpu" if place else cfg.device
    if place and cfg.agent.get("precision") == "auto":
        cfg.agent.precision = "float32"  # what is faster here says nothing of where they learn
    agent = _whole(Agent, "agent", make_agent(cfg, task, device))
    if cfg.agent.get("precision") == "auto":
        cfg.agent.precision = agent.precision
    functions = closing(lanes.goal_functions(cfg.buffer.get("info_keys") or ()))
    if isinstance(lanes, GoalTask) and (line := lanes.endless()):
        log.warning("%s: %s", task.name, line)
    for line in functions.sources:
        log.info("%s: %s", task.name, line)

    def make_buffer(stream: str, num_envs: int, **changes: int) -> Buffer:
        made = make(
            OmegaConf.create(ready("buffer", plain(cfg.buffer)) | changes),
            spaces=task.spaces,
            goal_functions=functions,
            num_envs=num_envs,
            generator=np.random.default_rng(seeds[stream]),
            reward_range=task.reward_range,
            device=device,
        )
        return cast(Buffer, _whole(Buffer, "buffer", made))

    buffer = make_buffer("buffer", task.num_envs)
    if (name := cfg.buffer.get("demonstrations")) is not None:
        whole = to_absolute_path(name)  # Hydra may have changed the folder
        name = whole if os.path.isdir(whole) else name

        def like(rows: int) -> Buffer:
            size = {"capacity": rows} if "capacity" in cfg.buffer else {}
            return make_buffer("demonstrations", 1, **size)

        buffer = with_demonstrations(
            buffer, like, name, cfg.buffer.get("demonstration_share", 0.5), lanes, functions,
            cfg.buffer.get("info_keys") or (), agent if state is None else None,
        )  # fmt: skip
    trainer: Trainer = make(
        cfg.trainer,
        env=closing(lanes.make()),
        eval_env=closing(task.make(min(task.num_eval_envs, cfg.trainer.eval_episodes))),
        goal_functions=functions,
        eval_functions=None if lanes is task else closing(task.goal_functions()),
        buffer=buffer,
        agent=place.join(agent, cfg.device) if place else agent,
        logger=closing(
            RunLogger(
                folder,
                cfg.trainer.total_steps,
                cfg.trainer.progress,
                state and state["log"],
                plain(cfg),
            )
        ),
        env_seed=env_seed(seeds["env"]),
        eval_seed=env_seed(seeds["evaluation"]),
        hparams=hparams(cfg, swept_of(folder)),
    )
    return trainer


def _whole(protocol: type, key: str, part: Any) -> Any:
    """Return a part; UserError where it lacks a value that its protocol has (methods are seen to before)."""
    lacking = [name for name in protocol.__annotations__ if not hasattr(part, name)]
    if lacking:
        raise UserError(
            f"{key}: {type(part).__name__} has no {', '.join(lacking)}; derive it from "
            f"her_exp.types.{protocol.__name__}, which has the defaults"
        )
    return part


def hparams(cfg: DictConfig, swept: Sequence[str]) -> HParams:
    """Return a run's settings for TensorBoard's table: of a sweep's job it shows those `swept`, else all."""
    given = dict(word.lstrip("+").partition("=")[::2] for word in swept if "=" in word)
    settings = given | flat(cfg)  # a group is none of its settings
    return HParams(settings, list(given or settings))


def flat(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings as `group.key: value`, without targets and folders."""

    def walk(node: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(node, dict):
            return {prefix: node}
        out: dict[str, Any] = {}
        for key, value in node.items():
            if not str(key).startswith("_") and key != "hydra":
                out |= walk(value, f"{prefix}.{key}" if prefix else str(key))
        return out

    return walk(OmegaConf.to_container(cfg, resolve=True), "")
