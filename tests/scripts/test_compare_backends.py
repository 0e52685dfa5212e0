"""`scripts/compare_backends.py`: one policy, two backends, and whether they differ."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from her_exp.types import UserError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import compare_backends

    return compare_backends


@pytest.mark.parametrize(
    ("counts", "interval"),
    [  # the examples of Newcombe's table II, method 10
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ],
)
def test_interval_of_a_difference(
    counts: tuple[int, int, int, int], interval: tuple[float, float], script: ModuleType
) -> None:
    assert script.difference(*counts) == pytest.approx(interval, abs=1e-4)


@pytest.fixture
def folder(tmp_path: Path, script: ModuleType) -> Path:
    words = ["trainer.total_steps=200", "trainer.learning_starts=100", "trainer.eval_episodes=2",
             "trainer.picture=false", "env.max_steps=10"]  # fmt: skip
    script.common.train(words, 0, tmp_path / "run")
    return tmp_path / "run"


def test_both_are_evaluated_and_compared(
    folder: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [f"run={folder}", "backends=native,sync", "episodes=40"]
    assert script.command(words) == 3  # a policy that knows nothing
    *_, native, sync, line, figures = capsys.readouterr().out.splitlines()
    assert (native.split(":")[0], sync.split(":")[0]) == ("native", "sync")
    assert line.startswith("cannot tell: native minus sync is ")
    told = json.loads(figures)
    assert told["verdict"] == "cannot tell"
    assert told["episodes"] == 40
    # A backend on which all fails is told apart from one on which all succeeds.
    for rates, status, says in [((1.0, 0.0), 1, "DIFFERENT"), ((0.5, 0.525), 3, "cannot tell")]:
        seen = iter([{"success_final": rate} for rate in rates])
        monkeypatch.setattr(script, "evaluate_run", lambda *_, seen=seen, **__: next(seen))
        monkeypatch.setattr(script, "describe", str)
        assert script.command(words) == status
        assert capsys.readouterr().out.splitlines()[-2].startswith(says)


@pytest.mark.parametrize(
    ("wins", "n", "says"),
    [
        ((350, 317), 500, "DIFFERENT"),
        ((350, 340), 500, "the same"),
        ((0, 0), 500, "cannot tell"),
        ((500, 500), 500, "cannot tell"),
        ((500, 499), 500, "the same"),
        ((50, 50), 100, "cannot tell"),  # within 27 points
    ],
)
def test_what_two_rates_say(wins: tuple[int, int], n: int, says: str, script: ModuleType) -> None:
    assert script.verdict(*wins, n) == says


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "run is not set"),
        (["run=x", "backends=sync"], "give two, e.g. backends=envpool,sync"),
        (["run=x", "episodes=0"], "episodes=0: give 1 or more"),
    ],
)
def test_what_is_wrong(words: list[str], line: str, script: ModuleType) -> None:
    with pytest.raises(UserError, match=line):
        script.command(words)


def test_a_backend_that_does_not_exist(folder: Path, script: ModuleType) -> None:
    with pytest.raises(UserError, match=r"env.backend.*tpu"):
        script.command([f"run={folder}", "backends=tpu,sync"])
