"""What ran: command, code, versions, machine. The content of `run.json`."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import her_exp
from her_exp.config.hydra_api import NOT_IN_NAMES

#: Packages whose version may change a run's numbers; then the others that `run.json` names.
_NUMBERS = ("torch", "numpy", "gymnasium", "gymnasium-robotics", "mujoco", "envpool")
_OTHERS = ("hydra-core", "omegaconf", "tensorboard")

_SECRET = re.compile(r"(?i)(token|password|secret|api_key)$")
_URL_PASSWORD = re.compile(r"(\w+://[^\s/:@]*):[^\s/@]+@")


def began(overrides: list[str]) -> tuple[dict[str, Any], str]:
    """Return the story of a run that begins here, and what its checkout has beyond the commit."""
    commit, patch = _git()
    return {
        **now(overrides),
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
    }, patch


def now(overrides: list[str]) -> dict[str, Any]:
    """Return the command of this process, as far as it is nobody's secret, and the time."""
    words = [masked(word) for word in sys.argv[1:] if not word.startswith(NOT_IN_NAMES)]
    command = shlex.join(["python", "-m", "her_exp.train", *words])
    return {"command": command, "overrides": overrides, "started": moment()}


def masked(word: str) -> str:
    """Return a word of a command line without what it keeps secret: a token, a password in a URL."""
    key, equals, _ = word.partition("=")
    if equals and _SECRET.search(re.split(r"[.@/]", key)[-1]):
        return f"{key}=***"
    return _URL_PASSWORD.sub(r"\1:***@", word)


def other_versions(story: dict[str, Any]) -> list[str]:
    """Name the packages that may change numbers and had another version when the run began."""
    known = story.get("versions")
    known = known if isinstance(known, dict) else {}
    present = {name: _version(name) for name in _NUMBERS if known.get(name)}
    return [
        f"{name} is {version or 'not installed'}, was {known[name]}"
        for name, version in present.items()
        if version != known[name]
    ]


def moment() -> str:
    """Return the time of day, as `run.json` has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


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
