"""`--help` of the real command is quick: it imports no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def cpu_seconds(words: Sequence[str], folder: Path) -> float:
    """CPU time, which is the time that it takes on a machine with nothing else to do."""
    with (folder / "out").open("w") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert "buffer" in (folder / "out").read_text()
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick(tmp_path: Path) -> None:
    # Best of three; some 0.6 s are usual. A CI machine of half that speed should pass too.
    words = ["-m", "her_exp.train", "--help"]
    assert min(cpu_seconds(words, tmp_path) for _ in range(3)) < 1.5


def test_help_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from her_exp.train import main\n"
        "sys.argv = ['her-train', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "loaded = {'torch', 'tensorboard', 'PIL'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "trainer" in done.stdout
    assert list(tmp_path.iterdir()) == []
