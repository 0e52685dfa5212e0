"""The installed package, away from the checkout: it holds all it needs, and trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from her_exp import CONF_DIR

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "pyproject.toml").exists(), reason="these tests run from a checkout"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    words = [*pip, "--no-deps", "--target", str(folder), str(CHECKOUT)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def below(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern)}


def test_it_holds_code_configuration_and_commands(installed: Path) -> None:
    (about,) = distributions(path=[str(installed)])
    assert below(installed / "her_exp/conf", "*.yaml") == below(CONF_DIR, "*.yaml")
    for package in ("her_exp", "hydra_plugins"):
        assert below(installed / package, "*.py") == below(CHECKOUT / package, "*.py")
    page = {f"page.{end}" for end in ("html", "css", "js")}
    assert page <= set(os.listdir(installed / "her_exp/reporting"))
    assert (installed / "her_exp/py.typed").exists()
    folders = {name.partition("-")[0] for name in os.listdir(installed)}
    assert folders == {"her_exp", "hydra_plugins", "bin"}
    commands = {
        f"her-{name}": f"her_exp.{name}:main" for name in ("train", "evaluate", "check", "report")
    }
    assert {script.name: script.value for script in about.entry_points} == commands
    assert (about.metadata["Name"], about.metadata["License-Expression"]) == ("her_exp", "MIT")
    needs = {line.split(">")[0].split("<")[0] for line in about.requires or []}
    assert {"torch", "hydra-core", "tensorboard"} <= needs


def test_it_trains(installed: Path, tiny: list[str], tmp_path: Path) -> None:
    """With its own configuration, by the command as pip wrote it, in an empty folder."""
    (installed / "her_exp/conf/env/mine.yaml").write_text("defaults: [point_reach]\nname: mine")
    done = subprocess.run(
        [sys.executable, str(installed / "bin/her-train"), *tiny, "env=mine"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.is_relative_to(tmp_path / "outputs/mine/ddpg")
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
    story = json.loads((folder / "run.json").read_text())
    assert story["git_commit"] is None  # a wheel belongs to no checkout
    assert not (folder / "git.patch").exists()
