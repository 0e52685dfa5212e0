"""How good is a trained policy? On goals that training never saw, without exploration.

python -m her_exp.evaluate run=outputs/point_reach/ddpg/2026-11-26_10-00-00-123456 episodes=200

  run=FOLDER        a run folder; the folder alone will do; run=latest is the newest under outputs/
  episodes=200      episodes, each with a start and a goal of its own
  seed=0            another seed gives other goals; none of them is used in training
  checkpoint=last   last or best
  backend=          where the env runs, e.g. sync instead of envpool (default: as in training)
  video=false       true: write a film and a picture of trajectories into the run folder
  video_episodes=8  episodes of the film
  dataset=NAME      write the episodes as a Minari set: a folder to be made, or an id like mine/reach-v0
  noise=0.0         of a set's actions: deviation in units of half the Box, or share of random Discrete ones
  onnx=             write the policy as one ONNX file, e.g. onnx=policy.onnx
  trust=[PACKAGE]   for a run of somebody else's classes: packages whose code may run
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image

import her_exp
from her_exp.config.arguments import parse, run
from her_exp.config.validate import validate
from her_exp.data.recording import Noisy, Recording, spec_of
from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.make import GoalTask
from her_exp.envs.vector.pool import not_installed
from her_exp.store.checkpoint import load, load_policy
from her_exp.store.files import read_json, write_json
from her_exp.store.find import check_run, named
from her_exp.store.folder import EVALUATION, RESULT, STORY, has_checkpoint, judge
from her_exp.store.trust import load_run_config, packages
from her_exp.system.machine import choose_library, products, resolve_device
from her_exp.text import one_line
from her_exp.training import evaluation, pictures
from her_exp.training.build import env_seed, make, make_agent, streams
from her_exp.training.checks import close_all
from her_exp.training.export import check_onnx, write_onnx
from her_exp.training.film import CannotDraw, can_draw, play, write_film
from her_exp.types import Agent, UserError

DEFAULTS: dict[str, Any] = {
    "run": None,
    "episodes": 200,
    "seed": 0,
    "checkpoint": "last",
    "backend": "",
    "video": False,
    "video_episodes": 8,
    "dataset": "",
    "noise": 0.0,
    "onnx": "",
    "trust": "",
}


def held_out_seed(cfg: DictConfig, seed: int) -> int:
    """Return an env seed of the stream that training never draws from."""
    stream = streams(cfg.seed)["held_out"]
    return env_seed(np.random.SeedSequence(stream.entropy, spawn_key=(*stream.spawn_key, seed)))


def evaluate_run(
    folder: Path,
    episodes: int = 200,
    seed: int = 0,
    checkpoint: str = "last",
    trust: Sequence[str] = (),
    backend: str = "",
    dataset: str = "",
    noise: float = 0.0,
) -> dict[str, Any]:
    """Evaluate the policy of a run folder on held-out goals; returns the summary (see `Evaluation`).

    Args:
        folder, trust, backend: see `restore`.
        episodes, seed, checkpoint: as on the command line.
        dataset: a Minari set to be made of the episodes: a folder or an id.
        noise: with which the actions of such a set are disturbed.
    """
    recording = Recording(dataset) if dataset else None
    cfg, task, agent, functions = restore(folder, checkpoint, trust, backend)
    first = held_out_seed(cfg, seed)
    policy: evaluation.Acts = agent
    if recording:
        recording.keep(cfg.buffer.get("info_keys") or ())
    if noise:
        policy = Noisy(agent, task.spaces.action, noise, first)
    env = task.make(min(task.num_eval_envs, episodes))
    try:
        result = evaluation.evaluate(
            env, functions, policy, episodes, first, see=recording.see if recording else None
        )
    finally:
        close_all(env, functions)
    summary = result.summary()
    if recording:
        story = {
            "run": folder.resolve().name,
            "agent": str(cfg.agent._target_),
            "env": task.id,
            "env_arguments": dict(task.kwargs),
            "seed": seed,
            "noise": noise,
            "checkpoint": checkpoint,
            "env_steps": trained_steps(folder, checkpoint),
            "git_commit": read_json(folder, STORY).get("git_commit"),
            "her_exp": her_exp.__version__,
            "success_final": summary["success_final"],
        }
        recording.write(task.spaces, spec_of(task.spec, task.kwargs), story)
    return summary


def trained_steps(folder: Path, checkpoint: str) -> int | None:
    """Return the env steps after which a policy of a run folder was saved."""
    steps: int | None = load(folder / "checkpoints" / f"{checkpoint}.pt")["about"].get("env_steps")
    return steps


def restore(
    folder: Path,
    checkpoint: str = "last",
    trust: Sequence[str] = (),
    backend: str = "",
    device: str = "",
) -> tuple[DictConfig, GoalTask, Agent, EnvGoalFunctions]:
    """Return config, task, trained agent and goal functions of a run folder.

    With `backend` (native, envpool, sync or async) the task runs there instead of where training did, with
    `device` the networks.
    """
    if checkpoint not in ("last", "best"):
        raise UserError(f"checkpoint={checkpoint}: give last or best")
    cfg = load_run_config(folder, trust)
    if cfg.trainer.get("sinks"):  # of training; their packages need not be here
        cfg.trainer.sinks = []
    if cfg.agent.get("precision") == "bfloat16" and not products().bfloat16:
        cfg.agent.precision = "float32"  # acting is in float32 in any case
    if cfg.env.get("training_kwargs"):  # of collecting
        cfg.env.training_kwargs = None
    if backend:
        cfg.env.backend = backend
    missing = not_installed() if cfg.env.get("backend") == "envpool" else None
    if missing and not backend:
        print(f"trained with env.backend=envpool, evaluated with sync: {missing}", file=sys.stderr)
        cfg.env.backend = "sync"
    if device:
        cfg.device = device
    if str(cfg.device).startswith("cuda") and not torch.cuda.is_available():
        print(f"trained on {cfg.device}, evaluated on the CPU", file=sys.stderr)
        cfg.device = "cpu"
    validate(cfg, learns=False)
    torch.set_num_threads(cfg.threads)
    choose_library(cfg.products)
    task: GoalTask = make(cfg.env)
    agent = make_agent(cfg, task, resolve_device(cfg.device))
    path = folder / "checkpoints" / f"{checkpoint}.pt"
    evaluated = read_json(folder, RESULT).get("eval") is not None
    if not evaluated and not os.path.lexists(path) and has_checkpoint(folder):
        raise UserError(
            f"run={folder}: stopped before its first evaluation, which saves a policy; go on with "
            + shlex.quote(f"resume={folder}")
        )
    load_policy(agent, path)
    return cfg, task, agent, task.goal_functions(cfg.buffer.get("info_keys") or ())


def export(
    folder: Path, path: Path, checkpoint: str = "last", trust: Sequence[str] = (), backend: str = ""
) -> None:
    """Write the policy of a run folder as one ONNX file (see `write_onnx`)."""
    check_onnx(path)
    _, task, agent, functions = restore(folder, checkpoint, trust, backend, device="cpu")
    close_all(functions)
    write_onnx(agent, task.spaces, path)


def film(
    folder: Path,
    episodes: int,
    seed: int,
    checkpoint: str,
    trust: Sequence[str] = (),
    backend: str = "",
) -> list[Path]:
    """Write a film and a picture of trajectories into the run folder; returns their paths."""
    cfg, task, agent, functions = restore(folder, checkpoint, trust, backend)
    written = []
    picture = folder / "paths.png"
    first = held_out_seed(cfg, seed)
    if can_draw(task):
        try:
            frames, fps = play(task, agent, episodes, first)
            if frames:
                written.append(write_film(folder / "film", frames, fps))
        except CannotDraw as error:
            print(
                f"no film, only the picture: this env cannot draw here ({error})", file=sys.stderr
            )
    many = task.make(max(1, min(task.num_eval_envs, pictures.PATHS)))
    try:
        result = evaluation.evaluate(
            many, functions, agent, many.num_envs, first, paths=pictures.PATHS
        )
        written.append(picture)
        Image.fromarray(pictures.draw(result)).save(picture)
    finally:
        close_all(many, functions)
    return written


def command(argv: Sequence[str]) -> int:
    """Evaluate as the arguments say; returns the exit code."""
    options = parse(argv, DEFAULTS, folder="run")
    if options["run"] is None:
        raise UserError("run is not set; give run=outputs/...")
    for key in ("episodes", "video_episodes"):
        if options[key] < 1:
            raise UserError(f"{key}={options[key]}: give 1 or more")
    if not 0 <= options["noise"] <= 1 or (options["noise"] and not options["dataset"]):
        raise UserError(f"noise={options['noise']}: give 0 to 1, of a set that dataset=NAME names")
    if options["seed"] < 0:
        raise UserError(f"seed={options['seed']}: give 0 or more")
    folder = named("run", options["run"])
    check_run("run", folder)
    judge(folder)
    trust = packages(options["trust"])
    seed, checkpoint = options["seed"], options["checkpoint"]
    if options["onnx"]:  # first: what is wrong with it is told before episodes are played
        export(folder, Path(options["onnx"]), checkpoint, trust, options["backend"])
    summary = evaluate_run(
        folder, options["episodes"], seed, checkpoint, trust,
        *(options[key] for key in ("backend", "dataset", "noise")),
    )  # fmt: skip
    print(evaluation.describe(summary))
    trained = trained_steps(folder, checkpoint)
    about = {"checkpoint": checkpoint, "env_steps": trained, "seed": seed}
    about |= {key: options[key] for key in ("backend", "dataset", "noise") if options[key]}
    print(json.dumps(about | summary))
    try:
        if not options["noise"]:  # another policy than the run's
            write_json(folder, EVALUATION, about | summary, suffix=f".{os.getpid()}.tmp")
    except OSError as error:  # the result is told already
        print(f"{EVALUATION} is not written: {one_line(str(error))}", file=sys.stderr)
    if options["onnx"]:
        print(options["onnx"])
    if options["video"]:
        for path in film(
            folder, options["video_episodes"], seed, checkpoint, trust, options["backend"]
        ):
            print(path)
    return 0


def main() -> None:
    """Entry point of `her-evaluate`."""
    run(command, __doc__ or "")


if __name__ == "__main__":
    main()
