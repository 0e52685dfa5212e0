"""The installed package, away from the checkout: it finds its configuration and trains."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from her_exp import CONF_DIR

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "pyproject.toml").exists(), reason="these tests run from a checkout"
)


def pip(*words: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT), cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", str(folder), str(wheel), cwd=folder)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def run(words: list[str], installed: Path, cwd: Path) -> str:
    """Run a command for which the installed package comes before the checkout; what it printed."""
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_code_and_configuration_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    conf = {path.relative_to(CONF_DIR).as_posix() for path in CONF_DIR.rglob("*.yaml")}
    assert {name for name in names if "/conf/" in name} == {f"her_exp/conf/{n}" for n in conf}
    code = {
        path.relative_to(CHECKOUT).as_posix()
        for package in ("her_exp", "hydra_plugins")
        for path in (CHECKOUT / package).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == code
    page = {f"her_exp/reporting/page.{end}" for end in ("html", "css", "js")}
    assert {"her_exp/py.typed", *page} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"her_exp", "hydra_plugins"}


def test_metadata_and_console_scripts(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        scripts = ConfigParser()
        scripts.read_string(archive.read(f"{info}/entry_points.txt").decode())
        about = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    commands = ("train", "evaluate", "check", "report")
    assert dict(scripts["console_scripts"]) == {f"her-{c}": f"her_exp.{c}:main" for c in commands}
    assert (about["Name"], about["License-Expression"]) == ("her_exp", "MIT")
    needs = {line.split(">")[0].split("<")[0] for line in about.get_all("Requires-Dist", [])}
    assert {"torch", "hydra-core", "tensorboard"} <= needs


def test_the_installed_package_and_configuration_are_in_use(installed: Path, empty: Path) -> None:
    code = "import her_exp; print(her_exp.__file__); print(her_exp.CONF_DIR)"
    where = run([sys.executable, "-c", code], installed, empty).splitlines()
    assert where == [str(installed / "her_exp" / "__init__.py"), str(installed / "her_exp/conf")]
    words = [sys.executable, "-m", "her_exp.train", "--cfg", "job", "--resolve"]
    shown = OmegaConf.create(run(words, installed, empty))
    here = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert shown == OmegaConf.create(here)
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("way", ["module", "script"])
def test_the_installed_package_trains(
    way: str, installed: Path, empty: Path, tiny: list[str]
) -> None:
    start: list[Any] = [sys.executable, "-m", "her_exp.train"]
    if way == "script":  # as pip wrote it, with this interpreter
        start = [sys.executable, str(installed / "bin" / "her-train")]
    told = run([*start, *tiny, "trainer.total_steps=200"], installed, empty)
    folder = Path(told.splitlines()[-1])
    assert folder.is_relative_to(empty / "outputs" / "point_reach" / "ddpg")
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["env_steps"]) == ("done", 200)
    story = json.loads((folder / "run.json").read_text())
    assert story["git_commit"] is None  # a wheel belongs to no checkout
    assert not (folder / "git.patch").exists()
