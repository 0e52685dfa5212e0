"""What a resume writes into the run's folder, what it leaves as it was, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.config.compose import compose
from her_exp.run import SAFE, overrides_of, request, rerun, resume
from her_exp.store.folder import RunFolder
from her_exp.train import carry_out
from her_exp.training.trainer import Trainer
from her_exp.types import UserError
from tests.runs.resume_kit import NeverStopped, contents, killed_at
from tests.runs.runs_kit import checkpoints, numbers


def next_second() -> None:
    """An event file's name begins with the second: a resume comes later than what it resumes."""
    now = int(time.time())
    deadline = time.monotonic() + 10
    while int(time.time()) == now and time.monotonic() < deadline:
        time.sleep(0.01)


def test_one_series_over_all_event_files(never_stopped: NeverStopped, tmp_path: Path) -> None:
    source = never_stopped("ddpg", "point_reach")
    folder = killed_at(source, 0, tmp_path / "run")
    for number in (1, 2):
        next_second()
        # What is logged past the second checkpoint is logged twice, and then a third time.
        resume(folder, ["trainer.log_every=35"] if number == 1 else [])
        if number == 1:
            for path in checkpoints(folder)[2:]:
                path.unlink()
            (folder / "result.json").write_text('{"status": "running"}')
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3
    # More lines were asked for in the second part, and what was asked for then still holds.
    extra = {row for row in numbers(folder) if row not in set(numbers(source))}
    assert extra
    assert min(step for step, _, _ in extra) >= 150
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    by_tag: dict[str, list[tuple[int, float]]] = {}
    for step, tag, text in numbers(folder):
        by_tag.setdefault(tag, []).append((step, float(text)))
    scalars = {tag for tag in events.Tags()["scalars"] if tag[:5] != "time/"}
    assert scalars == by_tag.keys()
    for tag, values in by_tag.items():
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert shown == [(s, float(torch.tensor(v, dtype=torch.float32))) for s, v in values], tag
        assert [s for s, _ in shown] == sorted({s for s, _ in shown}), tag  # no overlap
    times = [event.step for event in events.Scalars("time/train_s")]
    assert times == sorted(set(times))
    seconds = [event.value for event in events.Scalars("time/train_s")]
    assert seconds == sorted(seconds)  # the clock goes on, it does not start anew
    evaluations = [step for step, _ in by_tag["eval/return"]]
    assert [image.step for image in events.Images("eval/paths")] == evaluations


def test_what_was_asked_first_stays(never_stopped: NeverStopped, tmp_path: Path) -> None:
    source = never_stopped("ddpg", "point_reach")
    folder = killed_at(source, 1, tmp_path / "run")
    before = {path.name for path in folder.iterdir()}
    resume(folder, ["trainer.total_steps=480", "trainer.log_every=50"])
    began = (source / "config.yaml").read_text()
    assert (folder / "config_began.yaml").read_text() == began
    changed = began.replace("total_steps: 400", "total_steps: 480")
    assert (folder / "config.yaml").read_text() == changed.replace("log_every: 70", "log_every: 50")
    story, first = (json.loads((f / "run.json").read_text()) for f in (folder, source))
    (note,) = story.pop("resumes")
    assert note["overrides"] == ["trainer.total_steps=480", "trainer.log_every=50"]
    assert 300 <= note["env_steps"] < 310
    assert note["command"].startswith("python -m her_exp.train")
    assert note["started"] >= first["started"]
    assert story.pop("ended") >= first.pop("ended")
    assert story == first
    new = {path.name for path in folder.iterdir()} - before
    new.remove("config_began.yaml")
    assert all(name.startswith("events.out.tfevents.") for name in new)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.rglob("*.tmp"))
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["env_steps"]) == ("done", 480)
    assert (
        result["wall_seconds"] > json.loads((source / "result.json").read_text())["train_seconds"]
    )


@pytest.mark.usefixtures("own_logging")
def test_a_change_is_taken_back(never_stopped: NeverStopped, tmp_path: Path) -> None:
    """The last word counts, also where it says what the first did; `auto` repeats the first words."""
    source, log = never_stopped("ddpg", "point_reach"), "trainer.log_every"
    folder = killed_at(source, 1, tmp_path / "run")
    first = next(word for word in overrides_of(folder) if word.startswith(f"{log}="))

    def went_on(*words: str) -> int:
        """The interval at which the run logs when it goes on with these words."""
        asked = request(list(words))
        assert asked is not None
        with (
            patch("her_exp.run.run_trainer", side_effect=KeyboardInterrupt) as run,
            pytest.raises(KeyboardInterrupt),
        ):
            carry_out(asked)
        return int(run.call_args.args[0].trainer.log_every)

    began = int(first.partition("=")[2])
    assert went_on(f"resume={folder}") == began
    assert went_on(f"resume={folder}", f"{log}=33") == 33
    assert went_on(f"resume={folder}") == 33
    assert went_on("resume=auto", f"run_dir={folder}", *overrides_of(folder)) == 33
    assert went_on(f"resume={folder}", first) == began
    assert went_on("resume=auto", f"run_dir={folder}", *overrides_of(folder)) == began
    assert went_on("resume=auto", f"run_dir={folder}", *overrides_of(folder), f"{log}=44") == 44
    assert went_on(f"resume={folder}") == 44
    assert went_on(f"resume={folder}", f"++{log}=55") == 55
    assert went_on(f"resume={folder}") == 55


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("at", [0, 1])
def test_the_checkpoint_is_let_go(
    at: int, never_stopped: NeverStopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deleted while the run is on; a mapping of it would keep its room on the disk."""
    folder = killed_at(never_stopped("ddpg", "point_reach"), at, tmp_path / "run")
    seen: list[list[str]] = []
    log = Trainer._log

    def logging(trainer: Trainer) -> None:
        log(trainer)
        lines = Path("/proc/self/maps").read_text().splitlines()
        seen.append([line for line in lines if str(folder) in line])

    monkeypatch.setattr(Trainer, "_log", logging)
    resume(folder)
    assert seen
    assert not any(seen)


def test_other_versions_are_one_line(
    never_stopped: NeverStopped, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = killed_at(never_stopped("ddpg", "point_reach"), 1, tmp_path / "run")
    story = json.loads((folder / "run.json").read_text())
    for name in ("gymnasium-robotics", "mujoco", "envpool"):
        assert story["versions"][name] == (version(name) if find_spec(IMPORTS[name]) else None)
    story["versions"] |= {"numpy": "1.0", "mujoco": None, "tensorboard": "1.0"}
    story["versions"].pop("envpool")  # as an older run.json
    (folder / "run.json").write_text(json.dumps(story))
    resume(folder)
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"numpy is {version('numpy')}, was 1.0: numbers may differ")


IMPORTS = {"gymnasium-robotics": "gymnasium_robotics", "mujoco": "mujoco", "envpool": "envpool"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("buffer.k=8", "buffer.k cannot change when a run goes on"),
        ("trainer.checkpoint_every=100", "trainer.checkpoint_every cannot change"),
        ("trainer.learning_starts=10", "trainer.learning_starts cannot change"),
        ("env.num_envs=2", "env.num_envs cannot change"),
        ("seed=1", "seed cannot change"),
        ("threads=2", "threads cannot change"),
        ("+agent.more=1", "agent.more cannot change"),
        ("agent=dqn", "a saved run has values, no groups"),
        ("trainer.total_stesp=900", "did you mean trainer.total_steps"),
        ("trainer.total_steps=500,600", "write one value"),
        ("trainer.total_steps=nine", "trainer.total_steps=nine: must be an integer"),
        ("~trainer.stop_at", "write one value"),
        ("trainer.total_steps", "write key=value"),
    ],
)
def test_a_change_that_makes_it_another_experiment(
    change: str, line: str, never_stopped: NeverStopped, tmp_path: Path
) -> None:
    folder = killed_at(never_stopped("ddpg", "point_reach"), 1, tmp_path / "run")
    before = contents(folder)
    with pytest.raises(UserError) as refused:
        resume(folder, [change])
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert contents(folder) == before


def test_what_may_change_is_known_and_safe() -> None:
    keys = {str(key) for group in ("trainer", "env") for key in compose([])[group]}
    assert {key.partition(".")[2] for key in SAFE} <= keys
    assert "trainer.checkpoint_every" not in SAFE


def test_a_done_run(never_stopped: NeverStopped, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(never_stopped("ddpg", "point_reach"), folder)
    before = contents(folder)
    told = r"done after (40\d) env steps; give more, e.g. trainer.total_steps=(\d+)$"
    with pytest.raises(UserError, match=told):
        resume(folder)
    assert contents(folder) == before
    resume(folder, ["trainer.total_steps=440"])
    assert json.loads((folder / "result.json").read_text())["env_steps"] == 440


def test_nothing_to_go_on_from(never_stopped: NeverStopped, tmp_path: Path) -> None:
    folder = killed_at(never_stopped("ddpg", "point_reach"), 0, tmp_path / "run")
    checkpoints(folder)[0].unlink()
    before = contents(folder)
    with pytest.raises(UserError, match="no checkpoint yet; run it anew with rerun="):
        resume(folder)
    assert contents(folder) == before
    with pytest.raises(UserError, match=r"no run folder itself; give one below it: run$"):
        resume(tmp_path)
    with pytest.raises(UserError, match=r"^rerun=nope: no such folder"):
        rerun(Path("nope"), [], [], None)


def test_a_broken_checkpoint_is_one_line(never_stopped: NeverStopped, tmp_path: Path) -> None:
    folder = killed_at(never_stopped("ddpg", "point_reach"), 0, tmp_path / "run")
    path = checkpoints(folder)[0]
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(UserError, match="cannot be read as a checkpoint") as refused:
        resume(folder)
    assert "\n" not in str(refused.value)
    path.write_bytes(whole_file)
    resume(folder)


def test_one_writer_at_a_time(never_stopped: NeverStopped, tmp_path: Path) -> None:
    folder = killed_at(never_stopped("ddpg", "point_reach"), 1, tmp_path / "run")
    before = contents(folder)
    with (
        RunFolder(folder, resume=True),
        pytest.raises(UserError, match="another process is writing to this run folder"),
    ):
        resume(folder)
    assert contents(folder) == before
    resume(folder)  # and now it is free
