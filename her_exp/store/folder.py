"""A run folder: what is one, what is in it, how its run stands, and the one config that is in force.

Nothing else knows the names of its files. The config in force is `config.yaml`; where a run went on with
changes, `config_began.yaml` beside it is what it began with.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from her_exp.config.hydra_api import plain, without_hydra
from her_exp.store import story
from her_exp.store.files import check_plain, load_yaml, open_file, read_json, write_json, write_text
from her_exp.system.foreign import reason_of
from her_exp.system.locks import is_locked, take_lock
from her_exp.text import printable
from her_exp.types import UserError

CONFIG, BEGAN, STORY, RESULT = "config.yaml", "config_began.yaml", "run.json", "result.json"
METRICS, LOG, LOCK, PATCH, EVALUATION = (
    "metrics.csv", "run.log", "run.lock", "git.patch", "evaluation.json",
)  # fmt: skip
CHECKPOINTS, PICTURE, PATHS_LAST, FILM = "checkpoints", "paths.png", "paths_last.png", "film"
EVENTS = "events.out.tfevents.*"
#: What a run, an evaluation or Hydra writes into the folder.
_WRITTEN = (
    CONFIG, BEGAN, STORY, RESULT, METRICS, LOG, LOCK, PATCH, EVALUATION, CHECKPOINTS, PICTURE,
    PATHS_LAST, f"{FILM}.*", "*.tmp", ".hydra",
)  # fmt: skip


# --- looking -----------------------------------------------------------------------------------


def is_run(folder: Path) -> bool:
    """Say whether a folder is that of a run: one killed at once has left its lock alone."""
    there = [name for name in (CONFIG, STORY, RESULT, LOCK) if _is_regular(folder / name)]
    return LOCK in there or len(there) >= 2


def status_of(folder: Path) -> str | None:
    """Say how the run in a folder stands: done, stopped, failed, running or killed; None: there is none."""
    status = read_json(folder, RESULT).get("status")
    if status in ("done", "stopped", "failed"):
        return str(status)
    if is_locked(folder / LOCK):
        return "running"
    return "killed" if any(_is_regular(folder / name) for name in (CONFIG, STORY, RESULT)) else None


def config_of(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """Return the config in force as plain values; UserError in one line if it cannot be read."""
    try:
        return load_yaml(folder, name)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"{folder / name}: cannot be read ({printable(reason[:200])})") from error


def config_begun(folder: Path) -> dict[str, Any]:
    """Return the config that a run began with."""
    return config_of(folder, BEGAN if _is_regular(folder / BEGAN) else CONFIG)


def overrides_of(folder: Path) -> list[str]:
    """Return the overrides that a run was started with."""
    given = read_json(folder, STORY).get("overrides")
    return [str(text) for text in given] if isinstance(given, list) else []


def swept_of(folder: Path) -> list[str]:
    """Return the overrides that tell a sweep's job from the others."""
    swept = read_json(folder, STORY).get("swept")
    return [str(text) for text in swept] if isinstance(swept, list) else []


def success_of(folder: Path) -> float:
    """Return the success rate of a run's last evaluation; UserError where its result says none."""
    evaluation = read_json(folder, RESULT).get("eval")
    success = evaluation.get("success_final") if isinstance(evaluation, dict) else None
    if not isinstance(success, int | float) or not 0 <= success <= 1:
        raise UserError(f"{folder / RESULT}: holds no evaluation; delete the folder to run it anew")
    return float(success)


def has_checkpoint(folder: Path) -> bool:
    """Say whether a full checkpoint is there to go on from."""
    return any((folder / CHECKPOINTS).glob("state_*.pt"))


def judge(folder: Path) -> None:
    """Raise UserError if something that may be written into a folder leads out of it, or is no file."""
    if folder.is_dir():
        check_plain(folder, _written(folder), folders=(CHECKPOINTS, ".hydra"))


def _written(folder: Path) -> Iterator[Path]:
    # Path.glob would not see a link that leads nowhere.
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if any(fnmatch(entry.name, pattern) for pattern in _WRITTEN):
            yield Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from Path(entry.path).rglob("*")


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


# --- writing -----------------------------------------------------------------------------------


def lock(path: Path) -> IO[str]:
    """Take the folder's lock, see `take_lock`, or raise UserError."""
    file = take_lock(path / LOCK)
    if file is None:
        raise Taken(f"{path}: another process is writing to this run folder")
    return file


def check_free(path: Path) -> None:
    """Raise UserError if a run is in the folder, or what is there must not be written to."""
    judge(path)
    if _is_regular(path / RESULT):
        raise UserError(
            f"a run is in {path} already; give another folder (hydra.run.dir=..., or another sweep=NAME)"
        )


def check_same(folder: Path, cfg: DictConfig) -> None:
    """Raise UserError if the run in a folder is of another config than this one, composed.

    What is `auto` there was resolved when the run began; how a run is watched does not count.
    """
    if not _is_regular(folder / CONFIG):
        if status_of(folder) == "done":
            raise UserError(f"{folder}: holds a result, no config; delete it to run the job anew")
        return
    began, asked = flatten(config_begun(folder)), flatten(plain(without_hydra(cfg)))
    apart = {"sweep", "trainer.progress", "trainer.sinks"}
    for key in sorted((began.keys() | asked.keys()) - apart):
        had, has = (one.get(key, "nothing") for one in (began, asked))
        new = key not in began and has in (None, [])  # a setting that there was not yet, and off
        if had != has and has != "auto" and not new:
            raise UserError(
                f"{printable(str(folder))}: holds another experiment, of {key}={printable(str(had))}; "
                f"this job has {key}={has}; give another sweep=NAME"
            )


def flatten(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return nested settings as `group.key` to value, without what only Hydra reads."""
    flat: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else str(name))
        elif not key.endswith("_convert_"):
            flat[key] = node

    walk(values, "")
    return flat


def start_over(folder: Path) -> None:
    """Clear what a run left that was killed before its first checkpoint."""
    judge(folder)
    with lock(folder):
        logging.getLogger(__name__).warning("%s: has no checkpoint; the run starts anew", folder)
        for name in (METRICS, BEGAN, RESULT, PATHS_LAST, EVENTS):
            for path in folder.glob(name):
                path.unlink()


#: The folders of runs of this process, and which file is their lock.
_held: dict[Path, int] = {}


def check_ours(folder: Path) -> None:
    """Raise UserError where the folder of a run of this process is no longer what it was."""
    if folder not in _held:  # nobody holds it: a trainer in a notebook
        return
    try:
        same = (folder / LOCK).lstat().st_ino == _held[folder]
    except OSError:
        same = False
    if not same:
        raise UserError(
            f"{folder}: the run folder is gone: moved, deleted or replaced while the run was on; where it is "
            "now, resume=FOLDER goes on from its last checkpoint"
        )


class Taken(UserError):
    """Another process is writing to the run folder."""


class RunFolder:
    """A folder that one process at a time writes to.

    `run.lock` is held, so that even kill -9 frees it.

    Args:
        path: the folder; made if it does not exist.
        resume: go on with the run that is in it.

    Raises:
        UserError: another process holds the folder, a run is in it already, or a link.
    """

    def __init__(self, path: str | Path, *, resume: bool = False):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        judge(self.path)
        self._lock = lock(self.path)
        if not resume:
            try:
                check_free(self.path)
            except UserError:
                self._lock.close()
                raise
        _held[self.path] = os.fstat(self._lock.fileno()).st_ino

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        _held.pop(self.path, None)
        self._lock.close()

    def write_config(self, cfg: DictConfig) -> None:
        """Write `config.yaml`, resolved."""
        write_text(self.path, CONFIG, OmegaConf.to_yaml(cfg, resolve=True))

    def write_failure(self, error: Exception) -> None:
        """Write the `result.json` of a run that failed before its first step."""
        write_json(self.path, RESULT, empty_result("failed", reason_of(error)))

    def write_story(self, cfg: DictConfig, overrides: list[str], swept: Sequence[str] = ()) -> None:
        """Write `config.yaml` (resolved), `run.json` and, in a changed checkout, `git.patch`.

        Of the overrides those `swept` differ between the jobs of a sweep.
        """
        self.write_config(cfg)
        content, patch = story.began(overrides)
        if patch:
            write_text(self.path, PATCH, patch)
        write_json(self.path, STORY, content | ({"swept": list(swept)} if swept else {}))

    def story(self) -> dict[str, Any]:
        """Return what `run.json` says."""
        return read_json(self.path, STORY)

    def note_resume(self, cfg: DictConfig, overrides: list[str], env_steps: int) -> None:
        """Put the config of a run that goes on in force, and append to `run.json` that it does."""
        if overrides:
            if not _is_regular(self.path / BEGAN):
                with open_file(self.path, CONFIG) as file:
                    write_text(self.path, BEGAN, file.read())
            self.write_config(cfg)
        content = self.story()
        earlier = content.get("resumes")
        entry = story.now(overrides) | {"env_steps": env_steps}
        content["resumes"] = [*(earlier if isinstance(earlier, list) else ()), entry]
        write_json(self.path, STORY, content)

    def note_end(self) -> None:
        """Write into `run.json` when the run ended; UserError where the folder is gone."""
        check_ours(self.path)
        write_json(self.path, STORY, self.story() | {"ended": story.moment()})


def empty_result(status: str, reason: str | None = None) -> dict[str, Any]:
    """Return a `result.json` of a run that has done nothing yet."""
    return {
        "status": status,  # running, done, stopped (by a signal) or failed
        "reason": reason,
        "env_steps": 0,
        "episodes": 0,
        "updates": 0,
        "train_seconds": 0.0,
        "wall_seconds": 0.0,
        "eval": None,
        "reached": {},
    }
