"""The tutorial runs as it stands, shows what it says, and can be read without running it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.docs_pages import PAGES, ROOT, commands

sys.path.insert(0, str(ROOT / "scripts"))
import notebook_pages

NOTEBOOK = ROOT / "docs/tutorial.ipynb"
#: Runs the notebook's own cells, in a process of their own, and tells what came of them.
PLANT = """
import json, sys
from run_notebook import run
notebook = json.load(open(sys.argv[1]))
names = run(notebook)
print(json.dumps({
    "cells": notebook["cells"],
    "agreed": list(names["agreed"].items()),
    "success": [names[name].summary()["success_final"] for name in ("with_hindsight", "without_hindsight")],
    "trained": [len(names["hindsight"].episodes), *map(len, names["hindsight"].losses.values())],
}))
"""


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(cell: dict[str, Any]) -> str:
    return "".join(line for output in cell["outputs"] for line in output.get("text", []))


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    return notebook


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of the whole notebook, in an empty folder and with warnings as errors, comes to."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("tutorial")
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLANT, str(NOTEBOOK)],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_what_it_shows(ran: dict[str, Any]) -> None:
    """Relabelled by hand is relabelled by the buffer; hindsight learns, plain replay does not."""
    assert ran["agreed"] == [["PointReach", [True] * 3], ["Nav2D", [True] * 3]]
    with_hindsight, without = ran["success"]
    assert with_hindsight >= 0.9
    assert without <= 0.1
    assert ran["trained"] == [120, *[4125] * 3]


def test_what_is_stored_is_what_a_run_gives(stored: dict[str, Any], ran: dict[str, Any]) -> None:
    """Word for word up to the training, whose last digits are those of the CPU; after it the same kinds."""
    pairs = list(zip(code_cells(stored), code_cells(ran), strict=True))
    training = next(
        i for i, (cell, _) in enumerate(pairs) if "def train(" in "".join(cell["source"])
    )
    assert training >= 4
    for i, (before, now) in enumerate(pairs):
        assert before["execution_count"] == i + 1
        if i <= training:
            assert printed(before) == printed(now)
        kinds = [[output["output_type"] for output in cell["outputs"]] for cell in (before, now)]
        assert kinds[0] == kinds[1]


def test_it_can_be_read_without_running_it(stored: dict[str, Any]) -> None:
    cells = code_cells(stored)
    text = "".join(map(printed, cells))
    pictures = [o for cell in cells for o in cell["outputs"] if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
    assert text.count("success") >= 3
    assert not re.search(r"Traceback|Error|Warning|/(home|root|tmp|usr|work|opt)/", text)
    assert not cells[0]["outputs"]  # imports
    assert all(cell["outputs"] for cell in cells[1:])
    assert NOTEBOOK.stat().st_size < 600_000


def test_its_commands_are_tried_on_other_pages(stored: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "tutorial.md"
    page.write_text(notebook_pages.as_page(stored, "tutorial")[0])
    found = {command.text for command in commands(page)}
    assert len(found) >= 3
    assert found <= {command.text for other in PAGES for command in commands(other)}
