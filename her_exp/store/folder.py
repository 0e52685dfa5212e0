"""A run folder tells its own story: what ran, from which code, on which machine."""

from __future__ import annotations

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
from her_exp.store.files import empty_result, read_json, write_json
from her_exp.system.foreign import reason_of
from her_exp.system.locks import take_lock
from her_exp.types import UserError

#: Packages whose version may change a run's numbers; then the others that `run.json` names.
_NUMBERS = ("torch", "numpy", "gymnasium", "gymnasium-robotics", "mujoco", "envpool")
_OTHERS = ("hydra-core", "omegaconf", "tensorboard")


def lock(path: Path) -> IO[str]:
    """Take the folder's lock, see `take_lock`, or raise UserError."""
    file = take_lock(path / "run.lock")
    if file is None:
        raise UserError(f"{path}: another process is writing to this run folder")
    return file


def check_free(path: Path) -> None:
    """Raise UserError if a run is in the folder."""
    if (path / "result.json").exists():
        raise UserError(
            f"a run is in {path} already; give another folder (hydra.run.dir=..., or another "
            "sweep=NAME)"
        )


class RunFolder:
    """A folder that one process at a time writes to.

    `run.lock` is held, so that even kill -9 frees it.

    Args:
        path: the folder; made if it does not exist.
        resume: go on with the run that is in it.

    Raises:
        UserError: another process holds the folder, or a run is in it already.
    """

    def __init__(self, path: str | Path, *, resume: bool = False):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path)
        if not resume:
            try:
                check_free(self.path)
            except UserError:
                self._lock.close()
                raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def write_config(self, cfg: DictConfig) -> None:
        """Write `config.yaml`, resolved."""
        (self.path / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))

    def write_failure(self, error: Exception) -> None:
        """Write the `result.json` of a run that failed before its first step."""
        write_json(self.path / "result.json", empty_result("failed", reason_of(error)))

    def write_story(self, cfg: DictConfig, overrides: list[str]) -> None:
        """Write `config.yaml` (resolved), `run.json` and, in a changed checkout, `git.patch`."""
        self.write_config(cfg)
        commit, patch = _git()
        if patch:
            (self.path / "git.patch").write_text(patch)
        story = {
            **_now(overrides),
            "git_commit": commit,
            "git_changed": bool(patch),
            "versions": {"python": platform.python_version(), "her_exp": her_exp.__version__}
            | {name: _version(name) for name in (*_NUMBERS, *_OTHERS)},
            "machine": {
                "system": platform.platform(),
                "processor": _processor(),
                "cores": os.cpu_count(),
                "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            },
        }
        write_json(self.path / "run.json", story)

    def story(self) -> dict[str, Any]:
        """Return what `run.json` says."""
        return read_json(self.path / "run.json")

    def other_versions(self) -> list[str]:
        """Name the packages that may change numbers and had another version when the run began."""
        began = self.story().get("versions") or {}
        now = {name: _version(name) for name in _NUMBERS if began.get(name)}
        return [
            f"{name} is {version or 'not installed'}, was {began[name]}"
            for name, version in now.items()
            if version != began[name]
        ]

    def note_resume(self, overrides: list[str], env_steps: int) -> None:
        """Append to `run.json` that the run went on here; config and first command stay."""
        story = self.story()
        story.setdefault("resumes", []).append(_now(overrides) | {"env_steps": env_steps})
        write_json(self.path / "run.json", story)

    def note_end(self) -> None:
        """Write into `run.json` when the run ended."""
        write_json(self.path / "run.json", self.story() | {"ended": _time()})


def _time() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _now(overrides: list[str]) -> dict[str, Any]:
    command = shlex.join(["python", "-m", "her_exp.train", *sys.argv[1:]])
    return {"command": command, "overrides": overrides, "started": _time()}


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
