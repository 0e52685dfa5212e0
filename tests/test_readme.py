"""The README's section "Add your own", as it stands: its files and its commands, from outside."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SECTION = README.split("## Add your own")[1].split("\n## ")[0]
FILES = dict(re.findall(r"```python\n# (my_lab/\w+\.py)\n(.*?)```", SECTION, re.S))
COMMANDS = [line.strip() for line in re.findall(r"^    (python -m her_exp\..*)$", SECTION, re.M)]
#: the same command, shorter; a later override wins
SHORT = ["trainer.total_steps=700", "trainer.eval_episodes=5"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_section_is_found() -> None:
    assert set(FILES) == {"my_lab/envs.py", "my_lab/agents.py", "my_lab/strategies.py"}
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_add_your_own(outside: Path, command: str) -> None:
    words = [sys.executable, *shlex.split(command)[1:]]
    if "her_exp.train" in command:
        words = [word for word in words if not word.startswith("trainer.total_steps")] + SHORT
    env = os.environ | {"PYTHONPATH": str(outside)}
    done = subprocess.run(
        words, cwd=outside, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if "her_exp.train" in command:
        folder = Path(done.stdout.strip().splitlines()[-1])
        assert (folder / "result.json").exists()
