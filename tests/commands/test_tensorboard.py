"""A real TensorBoard, asked over HTTP, shows a run of the real command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.commands.cli_kit import by_tag


def test_it_shows_the_numbers_of_the_folder_under_its_name(made: Path) -> None:
    outputs = made.parents[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", "tensorboard.main", f"--logdir={outputs}", "--host=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen([sys.executable, *words], start_new_session=True)

    def ask(path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{port}/data/{path}", timeout=10) as answer:
            return json.load(answer)

    def answers() -> bool:
        try:
            return bool(ask("runs"))
        except OSError:
            return False

    try:
        deadline = time.monotonic() + 90
        while not answers():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (name,) = ask("runs")
        assert name == made.relative_to(outputs).as_posix()
        values = by_tag(made)
        assert ask("plugin/scalars/tags")[name].keys() == values.keys()
        for tag in ("eval/return", "rollout/success_mean_100", "train/critic_loss"):
            shown = ask(f"plugin/scalars/scalars?run={quote(name)}&tag={quote(tag)}")
            # Of several values at a step TensorBoard shows the last.
            assert {step: value for _, step, value in shown} == pytest.approx(dict(values[tag]))
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # and the data server that it started
        server.wait()
