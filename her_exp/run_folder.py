"""A run folder tells its own story: what ran, from which code, on which machine."""

from __future__ import annotations

import fcntl
import os
import platform
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

import her_exp
from her_exp.logger import write_json
from her_exp.types import UserError

_PACKAGES = ("torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "tensorboard")


class RunFolder:
    """A folder that one process at a time writes to.

    `run.lock` is held by `flock`, so that even kill -9 frees it.

    Args:
        path: the folder; made if it does not exist.

    Raises:
        UserError: another process holds the folder, or a run is in it already.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock: IO[str] = (self.path / "run.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{self.path}: another process is writing to this run folder"
            ) from error
        if (self.path / "result.json").exists():
            raise UserError(
                f"{self.path}: a run is here already; give another folder (hydra.run.dir=..., or "
                "another sweep=<name>)"
            )

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def write_story(self, cfg: DictConfig, overrides: list[str]) -> None:
        """Write `config.yaml` (resolved), `run.json` and, in a changed checkout, `git.patch`."""
        (self.path / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        commit, patch = _git()
        if patch:
            (self.path / "git.patch").write_text(patch)
        story = {
            "command": shlex.join(["python", "-m", "her_exp.train", *sys.argv[1:]]),
            "overrides": overrides,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "git_commit": commit,
            "git_changed": bool(patch),
            "versions": {"python": platform.python_version(), "her_exp": her_exp.__version__}
            | {name: _version(name) for name in _PACKAGES},
            "machine": {
                "system": platform.platform(),
                "processor": _processor(),
                "cores": os.cpu_count(),
            },
        }
        write_json(self.path / "run.json", story)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _git() -> tuple[str | None, str]:
    """Return the commit of the checkout that her_exp runs from and its uncommitted changes."""
    here = Path(__file__).resolve().parent

    def git(*args: str) -> Any:
        return subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, text=True, check=True, timeout=10
        ).stdout

    try:
        # An installed package may lie below somebody else's repository: only ours counts.
        git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))
        return git("rev-parse", "HEAD").strip(), git("diff", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None, ""
