"""A run that was stopped and resumed is, bit for bit, the run that never stopped."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp import resume as resuming
from her_exp import trainer as trainer_module
from her_exp.config import compose
from her_exp.resume import SAFE, request, rerun, resume
from her_exp.run_folder import RunFolder
from her_exp.signals import SignalWatch, Stopped
from her_exp.train import train
from her_exp.trainer import Trainer
from her_exp.types import UserError

# --- the matrix: an agent or an env joins by a line ---------------------------------------------

_SUBSET = ["agent.n_critics=3", "agent.target_critics=2", "agent.policy_every=2"]
_RARE = ["buffer.rare_weight=9", "buffer.met_weight=0.2", "buffer.strategy=future_actual"]
#: Agents, with the kind of actions that they take.
AGENTS: dict[str, tuple[str, list[str]]] = {
    "ddpg": ("box", ["agent=ddpg", "agent.random_steps=100"]),
    "td3": ("box", ["agent=td3", "agent.random_steps=100", "agent.target_every=3"]),
    "sac": ("box", ["agent=sac", "agent.random_steps=100"]),
    "redq": ("box", ["agent=sac", "agent.random_steps=100", *_SUBSET]),
    "tqc": ("box", ["agent=tqc", "agent.random_steps=100", "agent.n_quantiles=5"]),
    "ddpg_rare": ("box", ["agent=ddpg", "agent.random_steps=100", *_RARE]),
    "ddpg_bfloat16": ("box", ["agent=ddpg", "agent.precision=bfloat16"]),
    "dqn": ("discrete", ["agent=dqn", "agent.epsilon_steps=300"]),
    "qrdqn": ("discrete", ["agent=qrdqn", "agent.epsilon_steps=300", "agent.dueling=true"]),
}
_BY_ID = ["env=gym", "env.reward_range=[-1,0]", "env.num_envs=2", "env.num_eval_envs=2"]
_REACH = [*_BY_ID, "env.id=her_exp/PointReach-v0", "+env.max_steps=10"]
_FETCH = [*_BY_ID, "env.id=FetchReach-v4", "env.imports=[gymnasium_robotics]"]
_FLIP = [*_BY_ID, "env.id=her_exp/BitFlip-v0", "+env.n_bits=4"]
#: Envs: kind of actions, whether they can save their state, settings.
ENVS: dict[str, tuple[str, bool, list[str]]] = {
    "point_reach": ("box", True, ["env.max_steps=10"]),
    "nav2d": ("box", True, ["env=nav2d", "env.max_steps=10"]),
    "bit_flip": ("discrete", True, ["env=bit_flip", "env.n_bits=4"]),
    "bit_flip_box": ("box", True, ["env=bit_flip", "env.n_bits=4", "env.continuous=true"]),
    "sync_reach": ("box", False, [*_REACH, "env.backend=sync"]),
    "sync_flip": ("discrete", False, [*_FLIP, "env.backend=sync", "buffer.info_keys=[is_success]"]),
    "async_reach": ("box", False, [*_REACH, "env.backend=async"]),
    "envpool_reach": ("box", False, [*_FETCH, "env.backend=envpool", "+env.max_episode_steps=10"]),
    "async_flip": ("discrete", False, [*_FLIP, "env.backend=async"]),
}
if find_spec("gymnasium_robotics"):
    ENVS["fetch_reach"] = (
        "box", False, ["env=fetch_reach", "env.num_envs=2", "env.max_episode_steps=10",
                       "env.backend=sync"],
    )  # fmt: skip
#: All envs with the first agents; the others, which see no env, with two of them.
_FIRST, _FEW = ("ddpg", "dqn"), ("point_reach", "bit_flip", "sync_reach", "sync_flip")
CASES = [
    (a, e)
    for a, (acts, _) in AGENTS.items()
    for e, (kind, *_) in ENVS.items()
    if acts == kind and (a in _FIRST or e in _FEW)
]
NATIVE = [(a, e) for a, e in CASES if ENVS[e][1]]
#: Every schedule out of step with the others; the ring wraps twice and more.
TINY = [
    "trainer.total_steps=400", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.3", "trainer.eval_every=130", "trainer.eval_episodes=2",
    "trainer.log_every=70", "trainer.checkpoint_every=150",
    "trainer.short_checkpoints=true", "trainer.keep_checkpoints=9",
    "agent.hidden_sizes=[8]", "buffer.capacity=160",
]  # fmt: skip


def words(agent: str, env: str, *more: str) -> list[str]:
    """The command line of a run; `more` comes in the place of what has the same key."""
    asked = [*ENVS[env][2], *AGENTS[agent][1], *TINY, *more]
    return list({word.partition("=")[0]: word for word in asked}.values())


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """A run sets threads and the treatment of tiny numbers for its whole process, which is ours."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


# --- what must be equal -------------------------------------------------------------------------


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two states differ by as much as a bit, all the way down."""
    if isinstance(one, dict) and isinstance(other, dict):
        lines = [f"{where}.{key}: only in one" for key in one.keys() ^ other.keys()]
        both = one.keys() & other.keys()
        return lines + [d for k in both for d in differences(one[k], other[k], f"{where}.{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        same = same and one.numpy().tobytes() == other.numpy().tobytes()
        return [] if same else [f"{where}: tensors differ"]
    return [] if type(one) is type(other) and one == other else [f"{where}: {one} or {other}"]


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("state_*.pt"))


def last_state(folder: Path) -> dict[str, Any]:
    """The full state at the end: all but clocks, and the length of lines that hold clocks."""
    state = torch.load(checkpoints(folder)[-1], weights_only=True)
    assert state.keys() == {"envs", "agent", "buffer", "functions", "record", "clock", "log"}
    del state["clock"], state["log"]["csv_bytes"]
    return state


def numbers(folder: Path) -> list[tuple[int, str, str]]:
    """The lines of metrics.csv outside `time/`, the values as text: every digit counts."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["env_steps", "tag", "value"]
    assert all(len(row) == 3 for row in rows)
    return [(int(step), tag, text) for step, tag, text in rows[1:] if tag[:5] != "time/"]


def assert_same_run(one: Path, other: Path) -> None:
    assert differences(last_state(one), last_state(other)) == []
    for name in ("last", "best"):
        pair = [
            torch.load(f / "checkpoints" / f"{name}.pt", weights_only=True) for f in (one, other)
        ]
        assert differences(*pair) == []
    assert numbers(one) == numbers(other)
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, other)]
    for result in results:
        assert result.pop("train_seconds") <= result.pop("wall_seconds")
        for reached in result["reached"].values():
            del reached["train_seconds"]
    assert results[0] == results[1]


def killed_at(source: Path, checkpoint: int, folder: Path) -> Path:
    """A copy of a run folder as a kill leaves it that came after a checkpoint and before the next."""
    shutil.copytree(source, folder)
    for path in checkpoints(folder)[checkpoint + 1 :]:
        path.unlink()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"status": "running"}))
    return folder


Whole = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Runs that never stopped, each made once."""
    root, done = tmp_path_factory.mktemp("whole"), {}

    def make(agent: str, env: str) -> Path:
        if env.startswith("envpool") and find_spec("envpool") is None:
            pytest.skip("needs the extra: pip install '.[fast]'")
        name = f"{agent}-{env}"
        if name not in done:
            done[name] = root / name
            overrides = words(agent, env)
            train(compose(overrides), done[name], overrides)
        return done[name]

    return make


# --- stop + resume = never stopped --------------------------------------------------------------


def test_states_that_differ_are_told_apart() -> None:
    one = {"a": [torch.tensor([0.0]), 1], "b": {"c": None}}
    assert differences(one, {"a": [torch.tensor([0.0]), 1], "b": {"c": None}}) == []
    assert differences(one, {"a": [torch.tensor([-0.0]), 1], "b": {"c": None}}) != []
    assert differences(one, {"a": [torch.tensor([0.0]), 1.0], "b": {"c": None}}) != []
    assert differences(one, {"a": [torch.tensor([0.0]), 1], "b": {}}) != []


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_resumed_at_a_checkpoint(agent: str, env: str, whole: Whole, tmp_path: Path) -> None:
    source = whole(agent, env)
    kinds = [torch.load(path, weights_only=True)["envs"]["kind"] for path in checkpoints(source)]
    assert kinds == ["barrier", "barrier", "exact" if ENVS[env][1] else "cut"]
    assert torch.load(checkpoints(source)[0], weights_only=True)["record"]["updates"] > 0
    for number in range(2):
        folder = killed_at(source, number, tmp_path / str(number))
        resume(folder, trust=["gymnasium_robotics"])
        assert_same_run(source, folder)


@pytest.mark.parametrize(("agent", "env"), [("ddpg", "point_reach"), ("ddpg", "sync_reach")])
def test_killed_between_the_last_checkpoint_and_the_word_done(
    agent: str, env: str, whole: Whole, tmp_path: Path
) -> None:
    folder = killed_at(whole(agent, env), 2, tmp_path / "run")
    resume(folder)
    assert_same_run(whole(agent, env), folder)


def test_a_run_that_differs_is_seen_to_differ(whole: Whole, tmp_path: Path) -> None:
    """The comparison itself: another barrier, or one draw more, and the numbers are others."""
    source = whole("ddpg", "point_reach")
    overrides = words("ddpg", "point_reach", "trainer.checkpoint_every=200")
    train(compose(overrides), tmp_path / "other", overrides)
    assert numbers(source) != numbers(tmp_path / "other")
    assert differences(last_state(source), last_state(tmp_path / "other"))
    folder = killed_at(source, 0, tmp_path / "spoilt")
    path = checkpoints(folder)[0]
    state = torch.load(path, weights_only=True)
    state["buffer"]["generator"]["state"]["state"] += 1
    torch.save(state, path)
    resume(folder)
    assert numbers(source) != numbers(folder)


WATCHING = {
    "nothing": ["trainer.eval_every=null", "trainer.picture=false", "trainer.log_every=400"],
    "more": ["trainer.eval_every=40", "trainer.log_every=10", "trainer.progress=true"],
    "longer": ["trainer.eval_episodes=5", "env.num_eval_envs=1"],
}


@pytest.mark.parametrize("watching", WATCHING)
@pytest.mark.parametrize(("agent", "env"), [("ddpg", "point_reach"), ("dqn", "sync_flip")])
def test_watching_otherwise_after_a_resume(
    watching: str, agent: str, env: str, whole: Whole, tmp_path: Path
) -> None:
    source = whole(agent, env)
    folder = killed_at(source, 0, tmp_path / "run")
    resume(folder, WATCHING[watching])
    states = [last_state(path) for path in (source, folder)]
    for part in ("agent", "buffer", "functions", "envs"):
        assert differences(states[0][part], states[1][part]) == [], part
    # A loss is the mean since the last line, an evaluation that of its episodes: other lines and
    # episodes are other numbers. All else that both have is the same.
    groups: tuple[str, ...] = ("rollout/", "buffer/", "train/updates")
    if watching != "longer":
        groups += ("eval/",)
    else:
        groups += ("train/",)
    mine, others = (
        {(step, tag): text for step, tag, text in numbers(path) if tag.startswith(groups)}
        for path in (folder, source)
    )
    common = mine.keys() & others.keys()
    seen = {tag.partition("/")[0] + "/" for _, tag in common}
    assert seen >= {"rollout/", "train/"}
    assert {key: mine[key] for key in common} == {key: others[key] for key in common}
    rollouts = [[key for key in part if key[1][:8] == "rollout/"] for part in (mine, others)]
    assert rollouts[0] == rollouts[1]


def test_the_buffers_numbers_are_logged_also_before_the_next_draw(tmp_path: Path) -> None:
    """Log lines that fall between a resume and the next learning phase."""
    overrides = words(
        "ddpg", "point_reach", "trainer.learn_every=100", "trainer.log_every=40",
        "trainer.checkpoint_every=130",
    )  # fmt: skip
    train(compose(overrides), tmp_path / "whole", overrides)
    folder = killed_at(tmp_path / "whole", 0, tmp_path / "run")
    resume(folder)
    assert numbers(tmp_path / "whole") == numbers(folder)


# --- stopped by a signal ------------------------------------------------------------------------


class Stops:
    """Raises a signal's flag after the n-th steps of a run, counted over all its resumes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.at: set[int] = set()
        self.count = 0
        stops, collect = self, Trainer._collect

        class Watch(SignalWatch):
            def __init__(self) -> None:
                super().__init__()
                stops.watch = self

        def collecting(trainer: Trainer) -> None:
            collect(trainer)
            stops.count += 1
            if stops.count in stops.at:
                stops.watch.received = signal.SIGUSR1

        monkeypatch.setattr(trainer_module, "SignalWatch", Watch)
        monkeypatch.setattr(Trainer, "_collect", collecting)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


def run_with_stops(folder: Path, overrides: list[str], stops: Stops, at: Sequence[int]) -> None:
    """Start a run, and go on with it after each stop."""
    stops.at, stops.count = set(at), 0
    with pytest.raises(Stopped, match="SIGUSR1") as stopped:
        train(compose(overrides), folder, overrides)
    assert stopped.value.code == 128 + signal.SIGUSR1
    for left in range(len(at) - 1, -1, -1):
        result = json.loads((folder / "result.json").read_text())
        assert (result["status"], result["reason"]) == ("stopped", "stopped by SIGUSR1")
        saved = torch.load(checkpoints(folder)[-1], weights_only=True)
        assert saved["record"]["env_steps"] == result["env_steps"]
        if left:
            with pytest.raises(Stopped):
                resume(folder)
        else:
            resume(folder)
    assert json.loads((folder / "result.json").read_text())["status"] == "done"


@pytest.mark.parametrize(("agent", "env"), NATIVE)
def test_a_stop_at_any_moment_is_exact(
    agent: str, env: str, whole: Whole, stops: Stops, tmp_path: Path
) -> None:
    source = whole(agent, env)
    lanes = OmegaConf.load(source / "config.yaml").env.num_envs
    # The first step; an episode's last step and the autoreset step after it; a barrier's step (150
    # transitions) and the one after it; one in the middle.
    episode = 4 if "flip" in env else 10
    stop = [1, episode, episode + 1, episode + 2, 250 // lanes + 3, 300 // lanes + 9]
    if lanes == 8:  # the iteration of a barrier: 10 steps an episode, each with an autoreset step
        stop += list(range(19, 24))
    run_with_stops(tmp_path / "run", words(agent, env), stops, sorted(stop))
    assert_same_run(source, tmp_path / "run")


@pytest.mark.parametrize(("agent", "env"), [("ddpg", "sync_reach"), ("dqn", "async_flip")])
def test_an_env_that_cannot_be_saved_starts_its_episodes_again(
    agent: str, env: str, stops: Stops, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_with_stops(tmp_path / "run", words(agent, env), stops, [50])
    lines = [r.getMessage() for r in caplog.records if "cannot save its state" in r.getMessage()]
    assert lines == ["this env cannot save its state: the open episodes start again here"]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["env_steps"]) == ("done", 400)


def test_a_stop_at_a_barrier_is_exact_for_any_env(
    whole: Whole, stops: Stops, tmp_path: Path
) -> None:
    """The envs were reset there a moment ago: there is nothing that could not be saved."""
    source = whole("ddpg", "sync_reach")
    steps = torch.load(checkpoints(source)[0], weights_only=True)["record"]["env_steps"]
    # Both lanes reset together after 10 steps: a step in 11 is no transition.
    turn = steps // 2 + (steps // 2 - 1) // 10
    run_with_stops(tmp_path / "run", words("ddpg", "sync_reach"), stops, [turn])
    story = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [r["env_steps"] for r in story["resumes"]] == [steps]  # it was the barrier's step
    assert_same_run(source, tmp_path / "run")


@pytest.mark.parametrize("env", ["point_reach", "sync_reach"])
def test_a_longer_run_equals_one_that_was_long_from_the_start(
    env: str, whole: Whole, tmp_path: Path
) -> None:
    """`trainer.total_steps` may change. For envs that cannot be saved: from a barrier at the end."""
    source = whole("ddpg", env)
    end = torch.load(checkpoints(source)[1], weights_only=True)["record"]["env_steps"]
    overrides = words("ddpg", env, f"trainer.total_steps={end}")
    folder = tmp_path / "run"
    train(compose(overrides), folder, overrides)
    resume(folder, ["trainer.total_steps=400"])
    states = [last_state(path) for path in (source, folder)]
    for part in ("agent", "buffer", "functions", "envs"):
        assert differences(states[0][part], states[1][part]) == [], part
    rollouts = [[row for row in numbers(f) if row[1][:8] == "rollout/"] for f in (source, folder)]
    assert rollouts[0] == rollouts[1]


# --- the folder ---------------------------------------------------------------------------------


def next_second() -> None:
    """An event file's name begins with the second: a resume comes later than what it resumes."""
    now = int(time.time())
    deadline = time.monotonic() + 10
    while int(time.time()) == now and time.monotonic() < deadline:
        time.sleep(0.01)


def test_one_series_over_all_event_files(whole: Whole, tmp_path: Path) -> None:
    source = whole("ddpg", "point_reach")
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


def test_what_was_asked_first_stays(whole: Whole, tmp_path: Path) -> None:
    source = whole("ddpg", "point_reach")
    folder = killed_at(source, 1, tmp_path / "run")
    before = {path.name for path in folder.iterdir()}
    resume(folder, ["trainer.total_steps=480", "trainer.log_every=50"])
    assert (folder / "config.yaml").read_bytes() == (source / "config.yaml").read_bytes()
    story, first = (json.loads((f / "run.json").read_text()) for f in (folder, source))
    (note,) = story.pop("resumes")
    assert note["overrides"] == ["trainer.total_steps=480", "trainer.log_every=50"]
    assert 300 <= note["env_steps"] < 310
    assert note["command"].startswith("python -m her_exp.train")
    assert note["started"] >= first["started"]
    assert story.pop("ended") >= first.pop("ended")
    assert story == first
    new = {path.name for path in folder.iterdir()} - before
    assert all(name.startswith("events.out.tfevents.") for name in new)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.rglob("*.tmp"))
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["env_steps"]) == ("done", 480)
    assert (
        result["wall_seconds"] > json.loads((source / "result.json").read_text())["train_seconds"]
    )


def test_other_versions_are_one_line(
    whole: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = killed_at(whole("ddpg", "point_reach"), 1, tmp_path / "run")
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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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
    change: str, line: str, whole: Whole, tmp_path: Path
) -> None:
    folder = killed_at(whole("ddpg", "point_reach"), 1, tmp_path / "run")
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


def test_a_done_run(whole: Whole, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole("ddpg", "point_reach"), folder)
    before = contents(folder)
    with pytest.raises(
        UserError, match=r"done after 40\d env steps; give trainer.total_steps=<more>"
    ):
        resume(folder)
    assert contents(folder) == before
    resume(folder, ["trainer.total_steps=440"])
    assert json.loads((folder / "result.json").read_text())["env_steps"] == 440


def test_nothing_to_go_on_from(whole: Whole, tmp_path: Path) -> None:
    folder = killed_at(whole("ddpg", "point_reach"), 0, tmp_path / "run")
    checkpoints(folder)[0].unlink()
    before = contents(folder)
    with pytest.raises(UserError, match="no checkpoint yet; run it anew with rerun="):
        resume(folder)
    assert contents(folder) == before
    with pytest.raises(UserError, match=r"no run folder itself; give one below it: run$"):
        resume(tmp_path)
    with pytest.raises(UserError, match=r"^rerun=nope: no such folder"):
        rerun(Path("nope"), [], [], None)


def test_a_broken_checkpoint_is_one_line(whole: Whole, tmp_path: Path) -> None:
    folder = killed_at(whole("ddpg", "point_reach"), 0, tmp_path / "run")
    path = checkpoints(folder)[0]
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(UserError, match="cannot be read as a checkpoint") as refused:
        resume(folder)
    assert "\n" not in str(refused.value)
    path.write_bytes(whole_file)
    resume(folder)


def test_one_writer_at_a_time(whole: Whole, tmp_path: Path) -> None:
    folder = killed_at(whole("ddpg", "point_reach"), 1, tmp_path / "run")
    before = contents(folder)
    with (
        RunFolder(folder, resume=True),
        pytest.raises(UserError, match="another process is writing to this run folder"),
    ):
        resume(folder)
    assert contents(folder) == before
    resume(folder)  # and now it is free


# --- rerun, and the words of the command line ---------------------------------------------------


def test_rerun_is_the_same_experiment_elsewhere(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = whole("ddpg", "nav2d")
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
    with pytest.raises(UserError, match="a run is in mine already"):
        train(cfg, folder, [])


@pytest.mark.parametrize(
    ("asked", "changes", "name", "threads"),
    [
        ([], ["env.map=large", "threads=2"], "point_maze_large", 2),
        ([], ["seed=7"], "point_maze_umaze", 1),
        ([], ["env.map=large", "env.name=mine", "threads=2", "env.num_threads=1"], "mine", 1),
        (["env.name=mine", "env.num_threads=3"], ["env.map=large", "threads=2"], "mine", 3),
    ],
)
def test_rerun_derives_again_what_was_derived(
    asked: list[str], changes: list[str], name: str, threads: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resuming, "validate", lambda cfg: None)  # needs no MuJoCo here
    with RunFolder(tmp_path / "run") as run:
        run.write_config(compose(["env=point_maze", *asked]))
    cfg, folder = rerun(tmp_path / "run", changes, [], None)
    assert (cfg.env.name, cfg.env.num_threads) == (name, threads)
    assert folder.parts[1] == name


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["resume=a", "rerun=b"], "not both"),
        (["resume=auto"], "go together"),
        (["resume=a", "run_dir=b"], "go together"),
        (["rerun="], "rerun= names nothing"),
        (["trust=[a]"], "goes with resume= or rerun="),
        (["run_dir=a", "buffer.k=3"], "goes with resume= or rerun="),
        (["resume=a", "-m"], "-m does not go with"),
        (["rerun=a", "--config-dir=b"], "does not go with"),
    ],
)
def test_words_that_do_not_go_together(argv: list[str], line: str) -> None:
    with pytest.raises(UserError) as refused:
        request(argv)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_are_taken_apart() -> None:
    assert request(["buffer.k=3", "-m"]) is None
    asked = request(["resume=auto", "run_dir=a=b", "seed=3", "trust=[x, y]"])
    assert asked == resuming.Request("auto", None, "a=b", ["x", "y"], ["seed=3"])
