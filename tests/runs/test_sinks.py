"""Sinks hear what metrics.csv and result.json say; none of them can harm a run or change its numbers."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from her_exp.config.compose import compose
from her_exp.config.hydra_api import config_hash
from her_exp.config.validate import validate
from her_exp.evaluate import evaluate_run
from her_exp.run import resume, train
from her_exp.store.folder import check_same
from her_exp.training.sinks import Sink
from her_exp.types import UserError
from tests.runs.runs_kit import assert_same_run, checkpoints, numbers

TINY = [
    "trainer.total_steps=160", "trainer.learning_starts=40", "trainer.batch_size=8", "env.max_steps=5",
    "trainer.updates_per_step=0.1", "trainer.eval_every=80", "trainer.eval_episodes=2",
    "trainer.checkpoint_every=80", "trainer.keep_checkpoints=9", "trainer.log_every=40",
    "agent.hidden_sizes=[8]",
]  # fmt: skip


class Heard(Sink):
    """Keeps all that it hears, in the order in which it does."""

    calls: ClassVar[list[tuple[Any, ...]]] = []

    def begin(self, *given: Any) -> None:
        self.calls.append(("begin", *given))

    def scalars(self, values: Any, env_steps: int) -> None:
        self.calls += [("row", env_steps, tag, repr(value)) for tag, value in values.items()]

    def picture(self, tag: str, image: Any, env_steps: int) -> None:
        self.calls.append(("picture", env_steps, image.shape[2]))

    def result(self, content: Any) -> None:
        self.calls.append(("result", content["status"]))

    def close(self) -> None:
        self.calls.append(("close",))

    @classmethod
    def rows(cls) -> list[tuple[int, str, str]]:
        """As `numbers` has them."""
        return [row[1:] for row in cls.calls if row[0] == "row" and row[2][:5] != "time/"]  # type: ignore[misc]


class Fails(Sink):
    """Raises at one method, and spoils what it is given."""

    def __init__(self, at: str):
        def fail(*_: Any) -> None:
            raise SystemExit("no\nmore")

        setattr(self, at, fail)

    def scalars(self, values: Any, env_steps: int) -> None:
        values.clear()


class Bad(Sink):
    def __init__(self, url: str):
        raise ValueError(f"no tracker at {url}")


def node(kind: type, **settings: Any) -> str:
    words = "".join(f", {key}: {value}" for key, value in settings.items())
    return f"{{_target_: {kind.__module__}.{kind.__qualname__}{words}}}"


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    Heard.calls.clear()


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without sinks."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(compose(TINY), folder)
    return folder


@pytest.mark.parametrize("at", ["begin", "picture", "close"])
def test_one_that_raises_is_named_once_and_harms_nobody(
    at: str, plain_run: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the other sink beside it, which hears all: what metrics.csv and result.json say."""
    caplog.set_level(logging.WARNING)
    train(compose([*TINY, f"trainer.sinks=[{node(Fails, at=at)},{node(Heard)}]"]), folder)
    warned = [r.getMessage() for r in caplog.records if "sinks" in r.getMessage()]
    assert warned == [
        f"trainer.sinks: Fails failed at {at} and is left out from here on: SystemExit: no more"
    ]
    assert_same_run(folder, plain_run)
    (first, path, config, resumed), *_, last = Heard.calls
    assert (first, path, resumed, last) == ("begin", folder, None, ("close",))
    assert config["trainer"]["total_steps"] == 160
    assert Heard.rows() == numbers(plain_run)
    pictures = [call for call in Heard.calls if call[0] == "picture"]
    assert pictures == [("picture", steps, 3) for steps in (80, 160)]
    told = [call[1] for call in Heard.calls if call[0] == "result"]
    assert (told[0], told[-1], set(told)) == ("running", "done", {"running", "done"})


def test_it_hears_of_a_run_that_fails(folder: Path) -> None:
    cfg = compose([*TINY, "env.reward_range=[-0.5,0]", f"trainer.sinks=[{node(Heard)}]"])
    with pytest.raises(UserError, match="reward_range"):
        train(cfg, folder)
    assert Heard.calls[-2:] == [("result", "failed"), ("close",)]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("null", "trainer.sinks=null: must be a list of nodes: [{_target_: ...}]"),
        ("[3]", "trainer.sinks[0]=3: must be a node with a _target_"),
        (
            f"[{node(Heard)},{node(Path)}]",
            "trainer.sinks[1]._target_=pathlib.Path: is no trainer.sinks",
        ),
        (
            f"[{node(Fails)}]",
            "trainer.sinks[0].at is not set and Fails needs it; write at into the node",
        ),
        (
            f"[{node(Bad, url='x')}]",
            "trainer.sinks[0]: cannot be made: ValueError: no tracker at x",
        ),
        (
            "[{_target_: her_exp.training.wandb_sink.WandbSink}]",
            "trainer.sinks[0]: cannot be made: needs wandb; pip install 'her_exp[wandb]'",
        ),
    ],
)
def test_bad_nodes_are_told_before_anything_runs(
    value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError) as refused:
        validate(compose([*TINY, f"trainer.sinks={value}"]))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def back_to(folder: Path, steps: int) -> None:
    """Make of a run one that was killed after its checkpoint at this step."""
    for path in checkpoints(folder):
        if int(path.stem.partition("_")[2]) > steps:
            path.unlink()
    (folder / "result.json").write_text('{"status": "running"}')


def test_one_is_added_when_a_run_goes_on(plain_run: Path, folder: Path) -> None:
    """Who watches is no part of what a run is: neither of a job's folder nor of what may change."""
    train(compose(TINY), folder)
    back_to(folder, 80)
    watched = compose([*TINY, f"trainer.sinks=[{node(Heard)}]"])
    check_same(folder, watched)
    assert config_hash(watched) == config_hash(compose(TINY))
    resume(folder, [f"trainer.sinks=[{node(Heard)}]"], ["tests"])
    assert Heard.calls[0][3] == 80
    assert Heard.rows() == [row for row in numbers(plain_run) if row[0] > 80]
    assert_same_run(folder, plain_run)
    back_to(folder, 80)
    with pytest.raises(UserError, match=r"^trainer.sinks\[0\].*trust=\[tests\]"):
        resume(folder)
    heard = len(Heard.calls)
    evaluate_run(folder, episodes=2, trust=["tests"])
    assert len(Heard.calls) == heard


# --- Weights & Biases ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_one_run_at_wandb_that_is_told_each_number_once(
    plain_run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    from her_exp.training.wandb_sink import WandbSink

    heard: dict[str, list[tuple[Any, Any]]] = {"log": [], "define_metric": []}

    def listen(name: str) -> None:
        method = getattr(wandb.Run, name)

        def hear(run: Any, given: Any, **more: Any) -> Any:
            heard[name].append((run, (more or given)))
            return method(run, given, **more)

        monkeypatch.setattr(wandb.Run, name, hear)

    for name in heard:
        listen(name)
    sink = node(WandbSink, project="mine", mode="offline", group="g")
    train(compose([*TINY, f"trainer.sinks=[{sink}]"]), folder)
    back_to(folder, 80)
    # Killed while the row of the checkpoint's step waited for more to come.
    steps = sorted({row[0] for row in numbers(folder)})
    (folder / "wandb_steps.txt").write_text(f"{steps[steps.index(80) - 1]:020d}")
    resume(folder)
    assert_same_run(folder, plain_run)
    _, second = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert b'"done"' in second.read_bytes()
    first, last = heard["log"][0][0], heard["log"][-1][0]
    assert first is not last
    assert {(run.id, run.project, run.group) for run in (first, last)} == {(last.id, "mine", "g")}
    assert first.config["trainer"]["total_steps"] == 160
    assert (first, {"step_metric": "env_steps"}) in heard["define_metric"]
    rows = [row for _, row in heard["log"]]
    told = [
        (row["env_steps"], tag, value)
        for row in rows
        for tag, value in row.items()
        if "/" in tag and tag[:5] != "time/" and tag != "eval/paths"
    ]
    # Here the first part was told the rest, too; each number comes twice at most.
    assert {row[0] for row in told if told.count(row) > 1} >= {80}
    assert max(map(told.count, told)) == 2
    assert set(told) == {(steps, tag, float(text)) for steps, tag, text in numbers(plain_run)}
    assert sum("eval/paths" in row for row in rows) >= 2
