"""What a resume or a rerun writes into which folder, what it leaves as it was, and what it refuses."""

from __future__ import annotations

import json
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.config.compose import compose
from her_exp.run import overrides_of, request, rerun, resume, train
from her_exp.store.folder import RunFolder
from her_exp.system.signals import Stopped
from her_exp.train import carry_out
from her_exp.types import UserError
from tests.runs.resume_kit import NeverStopped, contents, killed_at, words
from tests.runs.runs_kit import Stops, assert_same_run, checkpoints, numbers, result_of


@pytest.fixture
def source(never_stopped: NeverStopped) -> Path:
    return never_stopped("ddpg", "point_reach")


@pytest.fixture
def killed(source: Path, tmp_path: Path) -> Path:
    """The run, killed after its second checkpoint."""
    return killed_at(source, 1, tmp_path / "run")


def test_one_series_over_all_event_files(source: Path, tmp_path: Path) -> None:
    folder = killed_at(source, 0, tmp_path / "run")
    for number in (1, 2):
        time.sleep(1.0)  # an event file's name begins with the second
        # What is logged past the second checkpoint is logged twice, and then a third time.
        resume(folder, ["trainer.log_every=35"] if number == 1 else [])
        if number == 1:
            for path in checkpoints(folder)[2:]:
                path.unlink()
            (folder / "result.json").write_text('{"status": "running"}')
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3
    # More lines were asked for in the second part, and what was asked for then still holds.
    extra = set(numbers(folder)) - set(numbers(source))
    assert min(step for step, _, _ in extra) >= 150
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    by_tag: dict[str, list[tuple[int, float]]] = {}
    for step, tag, text in numbers(folder):
        by_tag.setdefault(tag, []).append((step, float(text)))
    assert {tag for tag in events.Tags()["scalars"] if tag[:5] != "time/"} == by_tag.keys()
    for tag, values in by_tag.items():
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert shown == [(s, float(torch.tensor(v, dtype=torch.float32))) for s, v in values], tag
        assert [s for s, _ in shown] == sorted({s for s, _ in shown}), tag  # no overlap
    clock = events.Scalars("time/train_s")
    assert [event.step for event in clock] == sorted({event.step for event in clock})
    seconds = [event.value for event in clock]
    assert seconds == sorted(seconds)  # it goes on, it does not start anew
    evaluations = [step for step, _ in by_tag["eval/return"]]
    assert [image.step for image in events.Images("eval/paths")] == evaluations


def test_what_was_asked_first_stays(source: Path, killed: Path, tmp_path: Path) -> None:
    before, asked = set(killed.iterdir()), ["trainer.total_steps=480", "trainer.log_every=50"]
    resume(killed, asked)
    assert (killed / "config_began.yaml").read_text() == (source / "config.yaml").read_text()
    story, first = (json.loads((f / "run.json").read_text()) for f in (killed, source))
    (note,) = story.pop("resumes")
    assert note["overrides"] == asked
    assert 300 <= note["env_steps"] < 310
    assert note["started"] >= first["started"]
    assert story.pop("ended") >= first.pop("ended")
    assert story == first
    new = {path.name[:19] for path in set(killed.iterdir()) - before}
    assert new == {"config_began.yaml", "events.out.tfevents"}
    assert list(tmp_path.iterdir()) == [killed]
    result = result_of(killed)
    assert (result["status"], result["env_steps"]) == ("done", 480)
    assert result["wall_seconds"] > result_of(source)["train_seconds"]


@pytest.mark.usefixtures("own_logging")
def test_a_change_is_taken_back(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word counts, also where it says what the first did; `auto` repeats the first words."""
    stops, log = Stops(monkeypatch, HindsightReplayBuffer, "add"), "trainer.log_every"
    first = next(word for word in overrides_of(killed) if word.startswith(f"{log}="))
    begun = [f"run_dir={killed}", "resume=auto", *overrides_of(killed)]

    def went_on(*words: str) -> int:
        """The interval at which the run logs after a step more with these words."""
        asked = request(list(words) if "resume=auto" in words else [f"resume={killed}", *words])
        assert asked is not None
        stops.at = {stops.count + 1}
        with pytest.raises((Stopped, SystemExit)):
            carry_out(asked)
        config = (killed / "config.yaml").read_text()
        return int(config.partition("log_every: ")[2].split()[0])

    began = int(first.partition("=")[2])
    assert went_on() == began
    assert went_on(f"{log}=33") == 33
    assert went_on(*begun) == 33
    assert went_on(first) == began
    assert went_on(*begun) == began
    assert went_on(*begun, f"{log}=44") == 44
    assert went_on() == 44


def test_other_versions_are_one_line(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    story = json.loads((killed / "run.json").read_text())
    story["versions"] |= {"numpy": "1.0", "mujoco": None, "tensorboard": "1.0"}
    story["versions"].pop("envpool")  # as an older run.json
    (killed / "run.json").write_text(json.dumps(story))
    resume(killed)
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"numpy is {version('numpy')}, was 1.0: numbers may differ")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("buffer.k=8", "buffer.k cannot change when a run goes on"),
        ("+agent.more=1", "agent.more cannot change"),
        ("agent=dqn", "a saved run has values, no groups"),
        ("trainer.total_stesp=900", "did you mean trainer.total_steps"),
        ("trainer.total_steps=nine", "trainer.total_steps=nine: must be an integer"),
        ("~trainer.stop_at", "write one value"),
        ("trainer.total_steps", "write key=value"),
    ],
)
def test_a_change_that_makes_it_another_experiment(change: str, line: str, killed: Path) -> None:
    before = contents(killed)
    with pytest.raises(UserError) as refused:
        resume(killed, [change])
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert contents(killed) == before


def test_a_done_run(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    before = contents(folder)
    told = r"done after (40\d) env steps; give more, e.g. trainer.total_steps=(\d+)$"
    with pytest.raises(UserError, match=told):
        resume(folder)
    assert contents(folder) == before
    resume(folder, ["trainer.total_steps=440"])
    assert result_of(folder)["env_steps"] == 440


# --- running it again ----------------------------------------------------------------------------


def test_rerun_is_the_same_experiment_elsewhere(
    never_stopped: NeverStopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = never_stopped("ddpg", "nav2d")
    before = contents(source)
    cfg, folder = rerun(source, [], [], None)
    assert folder.parts[:3] == ("outputs", "nav2d", "ddpg")
    train(cfg, folder, [])
    assert_same_run(source, folder)

    cfg, folder = rerun(source, ["seed=7", "buffer.k=1"], [], "mine")
    assert folder == Path("mine")
    train(cfg, folder, ["seed=7", "buffer.k=1"])
    overrides = words("ddpg", "nav2d", "seed=7", "buffer.k=1")
    train(compose(overrides), Path("asked"), overrides)
    assert_same_run(Path("asked"), folder)
    assert numbers(folder) != numbers(source)
    assert json.loads((folder / "run.json").read_text())["overrides"] == ["seed=7", "buffer.k=1"]
    assert contents(source) == before
    before = contents(folder)
    for into in (lambda: train(cfg, folder, []), lambda: rerun(source, [], [], "mine")):
        with pytest.raises(UserError, match="a run is in mine already"):
            into()
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("asked", "changes", "name", "threads"),
    [
        ("", "env.map=large threads=2", "point_maze_large", 2),
        ("", "env.map=large env.name=mine threads=2 env.num_threads=1", "mine", 1),
        ("env.name=mine env.num_threads=3", "env.map=large threads=2", "mine", 3),
    ],
)
def test_rerun_derives_again_what_was_derived(
    asked: str, changes: str, name: str, threads: int, tmp_path: Path
) -> None:
    pytest.importorskip("gymnasium_robotics")
    with RunFolder(tmp_path / "run") as run:
        run.write_config(compose(["env=point_maze", *asked.split()]))
    cfg, folder = rerun(tmp_path / "run", changes.split(), ["gymnasium_robotics"], None)
    assert (cfg.env.name, cfg.env.num_threads) == (name, threads)
    assert folder.parts[1] == name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("resume=a rerun=b", "not both"),
        ("resume=auto", "go together"),
        ("rerun=", "rerun= names nothing"),
        ("trust=[a]", "goes with resume= or rerun="),
        ("resume=a -m", "-m does not go with"),
        ("rerun=a --config-dir=b", "does not go with"),
    ],
)
def test_words_that_do_not_go_together(words: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        request(words.split())
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
