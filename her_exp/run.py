"""Going on with a run, or running it again, from its own folder.

python -m her_exp.train resume=FOLDER trainer.total_steps=20000      # go on in the same folder
python -m her_exp.train resume=latest                                # the newest under outputs/
python -m her_exp.train resume=auto run_dir=FOLDER buffer.k=8        # start or go on: for schedulers
python -m her_exp.train rerun=FOLDER seed=7                         # its config again, elsewhere

Hydra has no part in this: config and folder are there already.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from her_exp import CONF_DIR
from her_exp.config.hydra_api import path_safe
from her_exp.config.overrides import given_twice, keys
from her_exp.config.validate import validate
from her_exp.store.files import open_file
from her_exp.store.folder import LOG, RunFolder, check_free, judge, overrides_of, status_of
from her_exp.store.story import other_versions
from her_exp.store.trust import load_run_config, packages, packages_named
from her_exp.system.foreign import foreign_code
from her_exp.text import unknown_key
from her_exp.types import UserError

log = logging.getLogger(__name__)

#: What may change when a run goes on: how long it runs, and how it is watched.
SAFE = (
    "trainer.total_steps", "trainer.stop_at", "trainer.eval_every", "trainer.eval_episodes",
    "trainer.log_every", "trainer.picture", "trainer.progress", "trainer.keep_checkpoints",
    "trainer.short_checkpoints", "trainer.sinks", "env.num_eval_envs", "env.timeout",
    "buffer.demonstrations",  # a digest sees to it that it is the same data
)  # fmt: skip
#: Words of the command line that are no settings; conf/hydra/help/ says what each does.
WORDS = ("resume", "rerun", "run_dir", "trust")


@dataclass
class Request:
    """What the command line asks for.

    Attributes:
        resume, rerun: a run folder, 'latest', or None; `resume` may be 'auto'.
        run_dir: where an 'auto' or a rerun writes.
        trust: packages whose classes a run's config may name: what the command itself names, or trusts.
        overrides: the rest of the command line.
    """

    resume: str | None
    rerun: str | None
    run_dir: str | None
    trust: list[str]
    overrides: list[str]


def request(argv: Sequence[str]) -> Request | None:
    """Return what is asked for, or None where the command line is an ordinary one."""
    words: dict[str, str] = {}
    rest = []
    for argument in argv:
        key, equals, value = argument.partition("=")
        if equals and key in WORDS:
            if not value:
                raise UserError(f"{key}= names nothing; give {key}=FOLDER, or leave it out")
            words[key] = value
        else:
            rest.append(argument)
    resume, rerun, run_dir = (words.get(key) for key in WORDS[:3])
    if resume is None and rerun is None:
        if words:
            raise UserError(
                f"{next(iter(words))}= goes with resume= or rerun=; a new run's folder is named by "
                "resume=auto run_dir=FOLDER"
            )
        return None
    if twice := given_twice(argument for argument in argv if argument.startswith(WORDS)):
        raise UserError(f"{twice[0]}; give it once")
    if resume is not None and rerun is not None:
        raise UserError("give resume= or rerun=, not both")
    flags = [argument for argument in rest if argument.startswith("-")]
    if (
        resume == "auto"
    ):  # of the command that starts; one that goes on has all it needs in its folder
        taken = [flag for flag in flags if flag.startswith(("--config-dir=", "--config-name="))]
        flags = [flag for flag in flags if flag not in taken]
    if flags:
        raise UserError(f"{flags[0]} does not go with resume= or rerun=")
    if (resume == "auto") != (run_dir is not None) and rerun is None:
        raise UserError("resume=auto and run_dir=FOLDER go together")
    trust = {*packages(words.get("trust", "")), *packages_named(rest)}
    return Request(resume, rerun, run_dir, sorted(trust), rest)


def train(
    cfg: DictConfig, folder: Path, overrides: Sequence[str] = (), swept: Sequence[str] = ()
) -> float:
    """Run one experiment and return its final success rate.

    Args:
        cfg: a composed and validated configuration; `auto` values are written back resolved.
        folder: the run's folder, made if it does not exist.
        overrides: what was asked on the command line, for the folder's own record.
        swept: those of them that differ between the jobs of a sweep.
    """
    with RunFolder(folder) as run:
        run.write_story(cfg, list(overrides), swept)
        return run_trainer(cfg, run)


def run_trainer(cfg: DictConfig, run: RunFolder, state: dict[str, Any] | None = None) -> float:
    """Train in a folder that is ours, from the start or from a checkpoint's `state`, which is emptied."""
    from her_exp.system.machine import prepare_process
    from her_exp.training.build import make_trainer

    cfg.products = prepare_process(cfg.threads, cfg.products)
    try:
        with foreign_code():
            trainer = make_trainer(cfg, run.path, state)
    except Exception as error:
        if state is None:  # the result of a run that was to go on stays
            run.write_failure(error)
        raise
    if state is None:
        run.write_config(cfg)  # now with what every `auto` stands for
    else:
        state.clear()  # all is copied: let the file go, which will be deleted
    try:
        with foreign_code():
            return trainer.fit()
    finally:
        with suppress(OSError, UserError):  # of a full disk, a folder that is gone, it tells more
            run.note_end()


def apply(cfg: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Put `key=value` overrides into a saved config; returns the keys."""
    changed = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UserError(f"{text}: write key=value") from error
        key = override.key_or_group
        if override.is_sweep_override() or override.is_delete():
            raise UserError(f"{text}: write one value")
        known = set(keys(cfg))
        if key not in known and not override.is_add():
            raise UserError(unknown_key(key, known))
        if isinstance(OmegaConf.select(cfg, key), DictConfig):
            raise UserError(f"{text}: a saved run has values, no groups; give {key}.NAME=...")
        with open_dict(cfg):
            OmegaConf.update(cfg, key, override.value(), force_add=True)
        changed.append(key)
    return changed


def _is_safe(override: str) -> bool:
    return override.partition("=")[0].lstrip("+") in SAFE


def resume(
    folder: Path,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
    begins: Callable[[], None] = lambda: None,
) -> float:
    """Go on with the run in `folder`; returns the final success rate.

    Args:
        folder: the run folder.
        overrides: what changes; it is written into the folder's config, and holds from here on.
        trust: packages whose code may run.
        begins: called once the folder is judged and ours, before anything is written into it.

    Raises:
        UserError: nothing to go on from, or a change that would make it another experiment.
    """
    from her_exp.store.checkpoint import Checkpoints

    cfg = load_run_config(folder, trust, "resume")
    judge(folder)
    began = overrides_of(folder)
    asked = [text for text in overrides if _is_safe(text) or text not in began]
    before = cfg.copy()
    trusted = [f"trust=[{','.join(trust)}]"] if trust else []
    anew = shlex.join([f"rerun={folder}", *trusted, *asked])
    for key in apply(cfg, asked):
        same = OmegaConf.select(cfg, key) == OmegaConf.select(before, key)
        if key not in SAFE and not same:
            raise UserError(
                f"{key} cannot change when a run goes on: it would be another experiment; safe are "
                f"{', '.join(SAFE)}. To run it anew with this change: {anew}"
            )
    try:
        validate(cfg)
    except UserError as error:
        if any(text.lstrip("+").partition("=")[0] in str(error) for text in asked):
            raise
        # What its machine had, this one may lack.
        raise UserError(f"{error}; to run it anew so: {anew}") from error
    with RunFolder(folder, resume=True) as run:
        state = Checkpoints(folder / "checkpoints").latest()
        if state is None:
            raise UserError(f"resume={folder}: no checkpoint yet; run it anew with {anew}")
        steps = int(state["record"].get("env_steps", 0))
        if status_of(folder) == "done" and steps >= cfg.trainer.total_steps:
            raise UserError(
                f"resume={folder}: done after {steps} env steps; give more, e.g. "
                f"trainer.total_steps={2 * steps or 6000}"
            )
        begins()
        if others := other_versions(run.story()):
            log.warning("%s: numbers may differ from a run that never stopped", "; ".join(others))
        run.note_resume(cfg, asked, steps)
        log.info("going on at env step %d", steps)
        return run_trainer(cfg, run, state)


def rerun(
    source: Path, overrides: Sequence[str], trust: Sequence[str], run_dir: str | None
) -> tuple[DictConfig, Path]:
    """Return the config of `source` with changes, and the new folder to run it in."""
    cfg = load_run_config(source, trust, "rerun")
    if run_dir and Path(run_dir).exists():
        check_free(Path(run_dir))
    derive_again(cfg)
    apply(cfg, overrides)
    validate(cfg)
    named = [word.partition("=")[2] for word in overrides_of(source) if word.startswith("agent=")]
    agent = named[-1] if named else str(cfg.agent._target_).rpartition(".")[2].lower()
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S") + f"-{time.time_ns() // 1000 % 1_000_000:06d}"
    folder = Path("outputs", path_safe(cfg.env.name), path_safe(agent), stamp)
    return cfg, Path(run_dir) if run_dir else folder


def derive_again(cfg: DictConfig) -> None:
    """Let values of a saved env follow others again, as in the conf file that they come from.

    A saved config is resolved. Where a value is what a conf file of this env's class would derive,
    as `name: point_maze_${.map}`, it is derived anew, so that it follows a change of the other.
    """
    for path in sorted((CONF_DIR / "env").glob("*.yaml")):
        written = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        if not isinstance(written, dict) or written.get("_target_") != cfg.env._target_:
            continue
        for key, text in written.items():
            if not isinstance(text, str) or "${" not in text or key not in cfg.env:
                continue
            saved = cfg.env[key]
            cfg.env[key] = text
            try:
                same = cfg.env[key] == saved
            except OmegaConfBaseException:  # refers to what this env does not have
                same = False
            if not same:
                cfg.env[key] = saved


class _RunLog(logging.FileHandler):
    """Writes into a run's own log, and nowhere else."""

    def __init__(self, folder: Path):
        self._folder = folder
        super().__init__(folder / LOG)

    def _open(self) -> Any:
        return open_file(self._folder, LOG, "a")


def log_to(folder: Path | None) -> None:
    """Log as Hydra would have: plain lines to the terminal and, stamped, into the log of a run folder."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handlers.append(_RunLog(folder))
        except OSError as error:
            raise UserError(f"cannot write to {folder} ({error.strerror or error})") from error
        handlers[1].setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
