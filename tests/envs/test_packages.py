"""Packages of environments: those known to be broken or missing are refused in one line, lazily loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.packages import known_fault
from her_exp.types import UserError


def install(folder: Path, name: str, version: str | None) -> None:
    """Leave in a folder what a package's version is read from."""
    if version is not None:
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("robotics", "mujoco", "says"),
    [
        ("1.3.0", "3.3.0", "wrong pose"),
        ("1.3.1.post2", "3.12.0", "wrong pose"),
        ("1.4.2", "3.12.0", "mujoco 3.12.0; give pip install 'mujoco<3.12'"),
        ("1.4.2", "3.9.1", None),
        ("1.10.0", "3.12.0", None),
        (None, "3.12.0", None),
    ],
)
def test_versions_known_to_be_broken(
    robotics: str | None, mujoco: str | None, says: str | None,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    install(tmp_path, "gymnasium_robotics", robotics)
    install(tmp_path, "mujoco", mujoco)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    fault = known_fault("gymnasium_robotics")
    assert known_fault("panda_gym") is None
    assert (fault is None) == (says is None)
    if fault:
        assert str(says) in fault
        assert str(robotics) in fault


@pytest.mark.parametrize(
    ("module", "version", "says"),
    [
        ("gymnasium_robotics", "1.3.0", r"^env.imports=\[gymnasium_robotics\]: .* 1.3.0"),
        ("panda_gym", None, "give pip install panda-gym"),
        ("no_such_module", None, "is the package installed"),
        ("odd_envs", "1.0", "importing 'odd_envs' failed: AttributeError: no GL"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line(
    module: str, version: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, module, version)
    (tmp_path / "odd_envs.py").write_text(r"raise AttributeError('no\nGL')")
    monkeypatch.syspath_prepend(tmp_path)
    if version is None:
        monkeypatch.setitem(sys.modules, module, None)  # importing it raises ImportError
    with pytest.raises(UserError, match=says) as refused:
        validate(compose([f"env.imports=[{module}]", f"env.name={version}"]))
    assert "\n" not in str(refused.value)
