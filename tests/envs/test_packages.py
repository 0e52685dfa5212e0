"""Packages of environments: those known to be broken or missing are refused in one line, lazily loaded."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs import packages as versions
from her_exp.envs.make import GoalTask
from her_exp.envs.packages import import_envs, known_fault
from her_exp.types import UserError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that are told in place of the real ones."""
    told: dict[str, str] = {}

    def version(package: str) -> str:
        if package not in told:
            raise PackageNotFoundError(package)
        return told[package]

    monkeypatch.setattr(versions, "version", version)
    return told


@pytest.mark.parametrize(
    ("robotics", "mujoco", "says"),
    [
        ("1.3.0", "3.3.0", "wrong pose"),
        ("1.3.1", "3.3.0", "wrong pose"),
        ("1.3.1", None, "wrong pose"),
        ("1.3.1.post2", "3.12.0", "wrong pose"),
        ("1.4.2", "3.12.0", "mujoco 3.12.0; give pip install 'mujoco<3.12'"),
        ("1.4.2", "4.0.0", "mujoco 4.0.0"),
        ("1.4.1", "3.12.1rc1", "mujoco 3.12.1rc1"),
        ("1.4.2", "3.11.0", None),
        ("1.4.2", "3.9.1", None),
        ("1.4.2", None, None),
        ("1.2.4", "3.1.6", None),
        ("1.3.2", "3.3.0", None),
        ("1.4.3", "3.12.0", None),
        ("1.10.0", "3.12.0", None),
        (None, "3.12.0", None),
    ],
)
def test_versions_known_to_be_broken(
    robotics: str | None, mujoco: str | None, says: str | None, installed: dict[str, str]
) -> None:
    pairs = {"gymnasium-robotics": robotics, "mujoco": mujoco}
    installed.update({name: text for name, text in pairs.items() if text})
    fault = known_fault("gymnasium_robotics")
    assert (fault is None) == (says is None)
    if fault:
        assert str(says) in fault
        assert str(robotics) in fault
        assert "\n" not in fault
    assert known_fault("panda_gym") is None


@pytest.mark.parametrize("env", ["fetch_push", "hand_pen", "point_maze"])
def test_a_broken_version_is_said_before_anything_is_made(
    env: str, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.update({"gymnasium-robotics": "1.3.0", "mujoco": "3.3.0"})
    monkeypatch.setattr(GoalTask, "make_single", lambda *_: pytest.fail("an env was made"))
    with pytest.raises(UserError) as refused:
        validate(compose([f"env={env}"]))
    assert str(refused.value).startswith(
        "env.imports=[gymnasium_robotics]: gymnasium-robotics 1.3.0"
    )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("module", "install"),
    [
        ("gymnasium_robotics", r"give pip install 'her_exp\[robotics\]'"),
        ("panda_gym", "give pip install panda-gym"),
        ("no_such_module", "is the package installed"),
    ],
)
def test_a_missing_package_says_what_to_install(
    module: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    with pytest.raises(UserError, match=install) as refused:
        import_envs(module)
    assert "\n" not in str(refused.value)


def test_whatever_an_import_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise AttributeError("no\nGL")

    monkeypatch.setattr(versions.importlib, "import_module", fails)
    with pytest.raises(UserError, match="importing 'x' failed: AttributeError: no GL"):
        import_envs("x")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "code",
    [
        "from her_exp.config.compose import compose; from her_exp.config.validate import validate\n"
        "validate(compose(['env=nav2d']))",
        "from her_exp.check import check; check([])",
    ],
    ids=["validate", "check"],
)
def test_no_simulator_is_loaded_that_is_not_asked_for(code: str) -> None:
    told = "print(sorted({'mujoco', 'gymnasium_robotics'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{told}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
