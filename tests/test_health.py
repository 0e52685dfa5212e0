"""A run that goes wrong ends as `failed`, says why in one line, and keeps a checkpoint from before."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agents_kit import sac, tqc
from broken_envs import Line
from omegaconf import OmegaConf
from runs_kit import checkpoints, differences, last_state, numbers

from her_exp.agents.sac import SAC
from her_exp.build import make_trainer
from her_exp.checkpoint import load
from her_exp.config import compose
from her_exp.envs.make import GoalTask
from her_exp.envs.watched import Workers
from her_exp.health import LearningCheck, StepCheck, check_agent
from her_exp.resume import resume
from her_exp.rollout import Rollout
from her_exp.signals import SignalWatch, Stopped
from her_exp.train import train
from her_exp.trainer import Trainer
from her_exp.types import EnvFailed, UserError
from her_exp.validate import validate

HERE = Path(__file__).parent
#: Two lanes of 10 steps; a lane's step 31 lies between the checkpoints at 40 and 80.
RUN = [
    "env=gym", "env.id=broken/Line-v0", "env.imports=[broken_envs]", "env.reward_range=[-1,0]",
    "env.num_envs=2", "env.num_eval_envs=2", "trainer.total_steps=120", "trainer.batch_size=16",
    "trainer.learning_starts=20", "trainer.updates_per_step=0.3", "trainer.checkpoint_every=40",
    "trainer.eval_every=null", "trainer.eval_episodes=2", "trainer.log_every=20",
    "trainer.picture=false", "agent.hidden_sizes=[8]", "agent.random_steps=20",
]  # fmt: skip


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """A run sets threads and the treatment of tiny numbers for its whole process, which is ours."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run goes; we stand beside it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def finite(state: Any) -> bool:
    if isinstance(state, dict):
        return all(map(finite, state.values()))
    if isinstance(state, list):
        return all(map(finite, state))
    if isinstance(state, torch.Tensor) and state.is_floating_point():
        return bool(state.isfinite().all())
    return True


def assert_kept(folder: Path, newest: int = 40) -> None:
    """The newest checkpoint is the one before the failure, whole and sane."""
    state = load(checkpoints(folder)[-1])
    assert state["record"]["env_steps"] == newest
    assert finite({part: state[part] for part in ("agent", "buffer", "record")})


Start = Callable[..., "Command"]


class Command:
    """The real command in a process group of its own."""

    def __init__(self, folder: Path, *words: str):
        folder.parent.mkdir(exist_ok=True)
        self.folder, self._err = folder, folder.parent / "err"
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        with self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "her_exp.train", *RUN, f"hydra.run.dir={folder}", *words],
                cwd=folder.parent, env=os.environ | {"PYTHONPATH": path}, stderr=err,
                stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert self.process.poll() is None, self.err
            assert time.monotonic() < deadline, self.err
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Its processes, in the order in which they began."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def fails(self, reason: str, code: int = 1) -> str:
        """It ends with one line, which `result.json` holds as well; nothing of it stays."""
        assert self.process.wait(120) == code, self.err
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        result = result_of(self.folder)
        assert result["status"] == "failed"
        assert reason in result["reason"]
        assert self.err.splitlines()[-1] == f"her_exp: error: {result['reason']}"
        assert "leaked" not in self.err
        return str(result["reason"])


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start the real command with these words; what is left of it ends with the test."""
    started: list[Command] = []

    def begin(*words: str) -> Command:
        started.append(Command(folder, *words))
        return started[-1]

    yield begin
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait(10)


# --- learning that diverges -----------------------------------------------------------------------

WILD = ["agent.clip_targets=false", "agent.layer_norm=false", "agent.tau=1"]
DIVERGED = {
    "loss": (["agent.critic_lr=1e30"], r"train/critic_loss is (nan|inf) at env step"),
    "q": (
        [*WILD, "agent.critic_lr=30"],
        r"\|q_mean\| reached \d+.* while returns lie in \[-50, 0\] at env step",
    ),
}


@pytest.mark.parametrize("kind", DIVERGED)
def test_diverged_learning_is_not_saved(kind: str, folder: Path) -> None:
    overrides, reason = DIVERGED[kind]
    late = ["trainer.learning_starts=60", "trainer.total_steps=400", "trainer.updates_per_step=1"]
    with pytest.raises(UserError, match=f"{reason}.*learning has diverged"):
        train(compose([*RUN, *late, *overrides]), folder)
    assert result_of(folder)["status"] == "failed"
    newest = load(checkpoints(folder)[-1])
    assert newest["record"]["env_steps"] >= 40
    limit = LearningCheck((-50.0, 0.0)).limit
    pending = newest["record"]["pending"].get("q_mean", torch.zeros(1))
    assert float(pending.abs().max()) <= limit
    assert finite(newest["agent"])


@pytest.mark.parametrize("kind", DIVERGED)
def test_the_command_says_that_learning_diverged(kind: str, folder: Path, start: Start) -> None:
    overrides, _ = DIVERGED[kind]
    late = ["trainer.learning_starts=60", "trainer.total_steps=400", "trainer.updates_per_step=1"]
    command = start(*late, *overrides)
    command.fails("learning has diverged; try smaller learning rates")
    assert "Traceback" not in command.err


def test_one_update_out_of_reach_is_seen_among_many() -> None:
    """A mean since the last line would dilute it."""
    check = LearningCheck((-50.0, 0.0))
    sane = [torch.tensor(-20.0)] * 500
    assert check.means({"q_mean": sane}, 1) == {"q_mean": -20.0}
    for wild in (-600.0, 600.0):
        with pytest.raises(UserError, match=r"\|q_mean\| reached 600 .* lie in \[-50, 0\]"):
            check.means({"q_mean": [*sane, torch.tensor(wild)]}, 1)
    # An overshoot, an entropy bonus and the values of fresh networks are no divergence.
    assert check.limit >= 10 * 50
    assert LearningCheck((0.0, 0.001)).limit >= 10
    LearningCheck(None).means({"q_mean": [torch.tensor(1e9)]}, 1)  # the range is unknown


@pytest.mark.parametrize("make", [sac, tqc])
def test_a_large_entropy_bonus_is_no_divergence(make: Callable[..., SAC]) -> None:
    """Its worth makes Q large, and learning sound; targets are clipped to rewards as before."""
    settings: dict[str, Any] = {"gamma": 0.98, "clip_targets": True}
    agent = make(entropy=4.0, **settings)
    bonus = 4 * agent.action_dim * math.log(2) / (1 - 0.98)
    assert agent.return_range == pytest.approx((-50.0, bonus))
    assert agent.target_range == pytest.approx((-50.0, 0.0))
    check = LearningCheck(agent.return_range)
    check.means({"q_mean": [torch.tensor(9 * bonus)]}, 0)
    with pytest.raises(UserError, match="learning has diverged"):
        check.means({"q_mean": [torch.tensor(12 * bonus)]}, 0)
    assert make(entropy="auto", **settings).return_range is None  # the temperature may grow


def test_parameters_are_looked_at_before_they_are_saved() -> None:
    """The last update may have spoilt them after its own loss was computed."""
    good = {"learners": {"critic": [torch.ones(2), {"step": 3}]}, "mask": torch.tensor(-math.inf)}
    check_agent(good)
    good["learners"]["critic"][0][1] = math.nan  # type: ignore[index]
    with pytest.raises(UserError, match=r"agent\.learners\.critic\.0 holds nan: .*diverged"):
        check_agent(good)


def test_spoilt_parameters_do_not_become_a_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = Trainer._collect

    def spoil(trainer: Any) -> None:
        collect(trainer)
        if trainer.record.env_steps == 80:  # the checkpoint is next
            with torch.no_grad():
                trainer.agent.critic.layers[0].weight[0, 0] = math.nan

    monkeypatch.setattr(Trainer, "_collect", spoil)
    monkeypatch.setattr(Trainer, "_learn", lambda trainer: None)
    with pytest.raises(UserError, match=r"agent\.learners\.critic.* holds nan"):
        train(compose(RUN), folder)
    assert_kept(folder)


def test_a_buffer_that_does_not_say_its_share_trains(folder: Path) -> None:
    """What the trainer can do without, a buffer of one's own need not have."""
    (folder / "checkpoints").mkdir(parents=True)
    trainer = make_trainer(compose(RUN), folder)
    del trainer.buffer.achieved_share  # type: ignore[attr-defined]
    trainer.fit()
    assert result_of(folder)["status"] == "done"


# --- an env that gives what cannot be used -------------------------------------------------------


class Given:
    """A vector env that gives what it is told to."""

    def __init__(self) -> None:
        self.env = GoalTask("her_exp/PointReach-v0", num_envs=3).make()
        self.check = StepCheck(self.env)
        self.observation, _ = self.env.reset(seed=0)
        self.steps = np.array([4, 0, 7])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["observation", "achieved_goal", "desired_goal"])
def test_a_number_that_is_none_is_named(key: str, value: float) -> None:
    given = Given()
    given.check.observation(given.observation, given.steps)
    given.observation[key][2, 1] = value
    with pytest.raises(
        EnvFailed, match=rf"env: {key} of lane 2 is {value} at step 7 of its episode"
    ):
        given.check.observation(given.observation, given.steps)
    given.observation[key][1, 0] = value
    with pytest.raises(EnvFailed, match=rf"{key} of lane 1 is {value} at its reset"):
        given.check.observation(given.observation, given.steps)


def test_numbers_whose_squares_are_too_large_are_fine() -> None:
    given = Given()
    given.observation["observation"][:] = 1e30
    given.check.observation(given.observation, given.steps)
    given.check.reward(np.full(3, -1e300), given.steps)
    given.check.action(np.full((3, 2), 1e30, np.float32))


def test_other_forms_are_named() -> None:
    given = Given()

    def refused(key: str, value: Any, wrong: str) -> None:
        with pytest.raises(EnvFailed, match=wrong):
            given.check.observation({**given.observation, key: value}, given.steps)

    refused(
        "observation", np.zeros((3, 5), np.float32), r"observation has shape \(3, 5\).*\(3, 4\)"
    )
    refused("desired_goal", np.zeros((3, 2), object), "desired_goal has dtype object.*float32")
    refused("achieved_goal", None, "the observation has no achieved_goal")
    # float64 for float32 is rounded when it is stored, as Gymnasium's own vector envs do.
    wide = {key: value.astype(np.float64) for key, value in given.observation.items()}
    given.check.observation(wide, given.steps)
    with pytest.raises(EnvFailed, match=r"rewards have shape \(3, 1\), expected \(3,\)"):
        given.check.reward(np.zeros((3, 1)), given.steps)
    with pytest.raises(EnvFailed, match="reward of lane 0 is nan at step 4 of its episode"):
        given.check.reward(np.array([math.nan, 0, 0]), given.steps)


def test_an_action_that_is_no_number_never_reaches_the_env() -> None:
    given = Given()
    rollout = Rollout(given.env, None)  # type: ignore[arg-type]
    rollout.observation, rollout._ended = given.observation, np.zeros(3, bool)
    before = given.env.get_state()  # type: ignore[attr-defined]
    with pytest.raises(
        UserError, match="agent: the action of lane 1 is nan: learning has diverged"
    ):
        rollout.apply(np.array([[0, 0], [0, math.nan], [0, 0]], np.float32))
    after = given.env.get_state()  # type: ignore[attr-defined]
    assert all((before["state"][k] == after["state"][k]).all() for k in before["state"])


FAULTS = {
    "nan:observation": r"env: observation of lane 0 is nan at step \d+ of its episode",
    "inf:achieved_goal": r"env: achieved_goal of lane 0 is inf at step \d+ of its episode",
    "nan:desired_goal": r"env: desired_goal of lane 0 is nan at step \d+ of its episode",
    "reward:nan": r"env: reward of lane 0 is nan at step \d+ of its episode",
    "reward:none": "env: step of lane 0 gave the reward None; give one number",
    "reward:many": r"env: step of lane 0 gave the reward \[0. 0.\]; give one number",
    "shape:observation": r"env: step of lane 0 gave observation of shape \(1, 1\).*says \(1,\)",
    "dtype:achieved_goal": "env: step of lane 0 gave achieved_goal as <U1, its space says float32",
    "lacks:desired_goal": "env: step of lane 0 gave an observation without desired_goal",
    "raise": "env: step of lane 0 raised ValueError: lost the %s thread",
    "odd_raise": "env: step of lane 0 raised .*OfItsOwn: <function",
}


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_env_ends_the_run(fault: str, backend: str, folder: Path) -> None:
    overrides = [*RUN, f"env.backend={backend}", f"+env.fault={fault!r}"]
    with pytest.raises(EnvFailed, match=rf"{FAULTS[fault]}.* \(env step 6\d of training\)"):
        train(compose(overrides), folder)
    result = result_of(folder)
    assert result["status"] == "failed"
    assert "\n" not in result["reason"]
    assert 60 <= result["env_steps"] < 70
    assert_kept(folder)


@pytest.mark.parametrize(
    ("fault", "backend"),
    [("nan:observation", "sync"), ("shape:observation", "async"),
     ("raise", "sync"), ("raise", "async")],
)  # fmt: skip
def test_the_command_with_a_faulty_env(
    fault: str, backend: str, folder: Path, start: Start
) -> None:
    command = start(f"env.backend={backend}", f"+env.fault={fault!r}")
    command.fails(f"of lane 0 {'raised ValueError: lost' if fault == 'raise' else ''}".rstrip())
    assert_kept(folder)
    # What the env raised is in the log, where to look for it; of what it gave one line says all.
    log = (folder / "run.log").read_text()
    assert ("Traceback" in log) == (fault == "raise")
    assert ('raise ValueError("lost the %s thread")' in log) == (fault == "raise")


def test_a_run_goes_on_once_the_env_is_mended(folder: Path) -> None:
    overrides = [*RUN, "+env.fault='nan:observation'"]
    with pytest.raises(EnvFailed):
        train(compose(overrides), folder, overrides)
    Path("healed").touch()
    resume(folder, trust=["broken_envs"])
    train(compose(overrides), folder.parent / "whole", overrides)
    assert numbers(folder) == numbers(folder.parent / "whole")
    assert differences(last_state(folder), last_state(folder.parent / "whole")) == []


def test_an_agent_that_raises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else fails names its class."""
    monkeypatch.setattr("her_exp.agents.ddpg.DDPG.update", lambda *_: {}["loss"])
    with pytest.raises(KeyError):
        train(compose(RUN), folder)
    assert result_of(folder)["reason"] == "KeyError: 'loss'"


# --- processes that die or hang ------------------------------------------------------------------


def test_a_worker_that_is_killed(folder: Path, start: Start) -> None:
    """The run goes on exactly from its last checkpoint."""
    slow = ["env.backend=async", "+env.pause=0.01", "trainer.total_steps=2000"]
    command = start(*slow)
    command.until(lambda: len(checkpoints(folder)) > 0)
    workers = command.workers()
    assert len(workers) == 4  # two for training, two for evaluation
    os.kill(workers[1], signal.SIGKILL)
    reason = command.fails("env: the process of lane 1 died during step (SIGKILL: out of memory")
    assert "\n" not in reason
    assert "Traceback" not in command.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    reached = result_of(folder)["env_steps"]
    kept = load(checkpoints(folder)[-1])["record"]["env_steps"]
    assert 0 <= reached - kept <= 40

    shorter = [f"trainer.total_steps={kept + 40}"]
    resume(folder, shorter, trust=["broken_envs"])
    train(compose([*RUN, *slow, *shorter]), folder.parent / "whole")
    assert numbers(folder) == numbers(folder.parent / "whole")
    assert differences(last_state(folder), last_state(folder.parent / "whole")) == []


def test_a_worker_that_ends_itself(folder: Path) -> None:
    with pytest.raises(EnvFailed, match=r"lane 0.* died during step \(SIGKILL"):
        train(compose([*RUN, "env.backend=async", "+env.fault=die"]), folder)
    assert_kept(folder)


@pytest.mark.parametrize("fault", ["hang", "hang_reset"])
def test_an_env_that_hangs(fault: str, folder: Path, start: Start) -> None:
    # The reset of a lane is part of a step; a barrier's is one of its own.
    steps = ["+env.at=20"] if fault == "hang_reset" else []
    command = start("env.backend=async", "env.timeout=4", f"+env.fault={fault}", *steps)
    call = "reset" if fault == "hang_reset" else "step"
    command.fails(f"env: {call} of lane 0, 1 gave no answer within 4 s (env.timeout)")
    assert "Traceback" not in command.err
    if fault == "hang":
        assert_kept(folder)


def test_an_evaluation_that_hangs(folder: Path) -> None:
    # Two lanes play an episode of 10 steps each, and reset once: the third evaluation hangs.
    overrides = ["env.backend=async", "env.timeout=4", "+env.fault=hang", "+env.at=25"]
    with pytest.raises(EnvFailed, match="step of lane 0, 1 gave no answer within 4 s"):
        train(compose([*RUN, *overrides, "trainer.eval_every=4", "env.num_envs=1",
                       "trainer.checkpoint_every=20"]), folder)  # fmt: skip
    assert result_of(folder)["status"] == "failed"
    assert result_of(folder)["eval"]["episodes"] == 2


def test_a_signal_while_an_env_hangs(folder: Path, start: Start) -> None:
    """It does not wait for the timeout, which may be long."""
    command = start("env.backend=async", "env.timeout=600", "+env.fault=hang")
    command.until(Path("faulty").exists)
    workers = command.workers()
    os.killpg(command.process.pid, signal.SIGTERM)  # as a scheduler does: the workers too
    assert command.process.wait(60) == 128 + signal.SIGTERM, command.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert result_of(folder)["status"] == "stopped"
    assert_kept(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_all_processes_leaves_a_checkpoint(
    number: signal.Signals, folder: Path, start: Start
) -> None:
    """Workers leave it to the run, which then stops as it should."""
    slow = ["env.backend=async", "+env.pause=0.01", "trainer.total_steps=2000"]
    command = start(*slow)
    command.until(lambda: len(checkpoints(folder)) > 0)
    time.sleep(0.3)  # into the steps after it
    os.killpg(command.process.pid, number)
    assert command.process.wait(60) == 128 + number, command.err
    result = result_of(folder)
    assert (result["status"], result["reason"]) == ("stopped", f"stopped by {number.name}")
    assert load(checkpoints(folder)[-1])["record"]["env_steps"] == result["env_steps"]


def test_waiting_counts_only_while_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was suspended for an hour finds its workers a bit late, and not hung."""

    class Poller:
        answers = iter([[], [], [(1, 1)]])

        def poll(self, milliseconds: float) -> list[Any]:
            return next(self.answers)

    workers = Workers.__new__(Workers)
    workers._timeout, workers._pollers, workers.closed = 2.5, [Poller()], True
    workers._wait("step")  # two looks of a second came back empty, however long they took


def test_timeout_is_for_workers_only() -> None:
    line = "env.timeout=5: only worker processes can be interrupted, and env.backend={} has none"
    for backend, resolved in (("sync", "sync"), ("native", "native"), ("auto", "native")):
        with pytest.raises(UserError, match=line.format(resolved)):
            GoalTask("her_exp/PointReach-v0", backend=backend, timeout=5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"env\.timeout=0.*must be > 0"):
        validate(compose([*RUN, "env.backend=async", "env.timeout=0"]))
    assert GoalTask("her_exp/PointReach-v0", backend="async").timeout == 60


# --- making that fails ---------------------------------------------------------------------------


class Closed:
    """Notes which envs are made and closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open: set[int] = set()
        make, close = Line.__init__, Line.close

        def making(env: Line, *args: Any, **kwargs: Any) -> None:
            make(env, *args, **kwargs)
            self.open.add(id(env))
            self.made = env  # alive, so that no id comes twice

        def closing(env: Line) -> None:
            self.open.discard(id(env))
            close(env)

        monkeypatch.setattr(Line, "__init__", making)
        monkeypatch.setattr(Line, "close", closing)


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_nothing_stays_open_where_making_fails(
    backend: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, made = Closed(monkeypatch), []
    make = GoalTask.make
    monkeypatch.setattr(GoalTask, "make", lambda *a, **k: made.append(make(*a, **k)) or made[-1])
    cfg = compose([*RUN, f"env.backend={backend}"])
    folder.mkdir()
    (folder / "metrics.csv").mkdir()  # the logger, which comes last, cannot open it
    with pytest.raises(IsADirectoryError):
        make_trainer(cfg, folder)
    assert len(made) == 2
    assert all(env.closed for env in made)
    for env in made:
        for process in getattr(env, "processes", ()):
            assert not process.is_alive()
    assert closed.open == set()


def test_a_run_closes_all_that_it_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Closed(monkeypatch)
    cfg = compose([*RUN, "trainer.total_steps=30"])
    validate(cfg)
    train(cfg, folder)
    assert closed.open == set()


def test_the_command_where_making_fails(folder: Path, start: Start) -> None:
    command = start("env.backend=async", "+env.fault=no_lanes")
    command.fails("died while it was made (exit code 1)")
    assert "ValueError: no more of me" in command.err


# --- checkpoints that follow each other too closely ----------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([*RUN, "trainer.checkpoint_every=39"], r"39: must be at least 40, .*\(2 x 10 .* x 2 lanes\)"),
        ([*RUN, "trainer.checkpoint_every=40"], None),
        ([*RUN, "+env.max_episode_steps=5", "trainer.checkpoint_every=19"], "at least 20"),
        (["trainer.checkpoint_every=799"], r"799: must be at least 800, .*\(2 x 50 .* x 8 lanes\)"),
        (["experiment=bit_flip", "trainer.checkpoint_every=200"], "at least 240"),
        (["trainer.checkpoint_every=799", "trainer.short_checkpoints=true"], None),
        (["trainer.checkpoint_every=6000", "env.max_steps=999"], None),  # the run ends before
        (["trainer.checkpoint_every=null"], None),
    ],
)  # fmt: skip
def test_two_episodes_of_every_lane_fit_between_checkpoints(
    overrides: list[str], line: str | None
) -> None:
    if line is None:
        validate(compose(overrides))
        return
    with pytest.raises(UserError, match=rf"trainer\.checkpoint_every=.*{line}") as refused:
        validate(compose(overrides))
    assert "\n" not in str(refused.value)


def test_the_command_refuses_short_checkpoints(folder: Path, start: Start) -> None:
    command = start("trainer.checkpoint_every=30")
    assert command.process.wait(60) == 2
    line = command.err.splitlines()[-1]  # the first one notes that the key was given twice
    assert line.startswith("her_exp: error: trainer.checkpoint_every=30: must be at least 40, two ")
    assert not folder.exists()


def test_checkpoints_between_which_nothing_ends(folder: Path) -> None:
    """Where the length of an episode is not known beforehand, it is seen while it runs."""
    overrides = [*RUN, "+env.max_episode_steps=70", "trainer.total_steps=200"]
    with pytest.raises(UserError, match="no episode ended since the last checkpoint"):
        train(compose(overrides), folder)
    train(compose([*overrides, "trainer.short_checkpoints=true"]), folder.parent / "short")


@pytest.mark.parametrize("stopped", [False, True])
def test_checkpoints_between_which_nothing_ends_after_a_resume(
    stopped: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the evaluation before the checkpoint was given up, and the resume makes up for it."""
    train(compose([*RUN, "trainer.total_steps=40", "trainer.eval_every=40"]), folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.env.max_episode_steps = 70  # episodes become longer than the run has seen
    OmegaConf.save(config, folder / "config.yaml")
    monkeypatch.setattr("her_exp.resume.validate", lambda cfg: None)  # it would see that beforehand
    going_on = lambda: resume(folder, ["trainer.total_steps=120"], trust=["broken_envs"])  # noqa: E731
    if stopped:
        stops = StopsInEvaluation(monkeypatch)
        stops.at = {5}
        with pytest.raises(Stopped):
            going_on()
    with pytest.raises(UserError, match="no episode ended since the last checkpoint"):
        going_on()
    assert load(checkpoints(folder)[-1])["record"]["env_steps"] == (80 if stopped else 40)


# --- signals during an evaluation ----------------------------------------------------------------


class StopsInEvaluation:
    """Raises a signal's flag before the n-th step that evaluations take, counted over all resumes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.at: set[int] = set()
        self.count = 0
        stops = self

        class Watch(SignalWatch):
            def __init__(self) -> None:
                super().__init__()
                stops.watch = self

        step = Rollout.step

        def stepping(rollout: Rollout, policy: Any) -> Any:  # evaluations alone use it
            stops.count += 1
            if stops.count in stops.at:
                stops.watch.received = signal.SIGINT
            return step(rollout, policy)

        monkeypatch.setattr("her_exp.trainer.SignalWatch", Watch)
        monkeypatch.setattr(Rollout, "step", stepping)


GIVEN_UP = {
    # A native env is saved as it is, wherever the evaluation falls. Evaluations take 10 steps each:
    # at 30, 60, 90, 120 (where a checkpoint is due as well) and at the end, again after each stop.
    "native": (["env.max_steps=10", "env.num_envs=2", "env.num_eval_envs=2", *RUN[6:],
                "trainer.eval_every=30", "trainer.total_steps=130"], {5, 19, 26, 48, 53, 66}),
    # Others are cut by a stop, but not where a checkpoint cuts them anyway.
    "sync": ([*RUN, "trainer.eval_every=40"], {5, 12, 19, 31, 45}),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN_UP)
def test_an_evaluation_given_up_is_made_up_for(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, at = GIVEN_UP[case]
    train(compose(cfg), folder.parent / "whole")
    stops = StopsInEvaluation(monkeypatch)
    stops.at = at
    with pytest.raises(Stopped):
        train(compose(cfg), folder, cfg)
    assert result_of(folder)["status"] == "stopped"
    for _ in range(len(at) - 1):
        with pytest.raises(Stopped):
            resume(folder, trust=["broken_envs"])
    resume(folder, trust=["broken_envs"])
    assert stops.count > max(at)
    assert numbers(folder) == numbers(folder.parent / "whole")
    assert differences(last_state(folder), last_state(folder.parent / "whole")) == []


def test_ctrl_c_during_an_evaluation(folder: Path) -> None:
    """It does not wait for the end of the evaluation."""
    command = Command(
        folder, "env.backend=sync", "+env.pause=0.01", "trainer.eval_every=60",
        "trainer.eval_episodes=100000",
    )  # fmt: skip
    command.until(lambda: len(checkpoints(folder)) > 0)
    time.sleep(2)  # 20 steps of two lanes take 0.4 s
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(30) == 130, command.err
    result = result_of(folder)
    assert (result["status"], result["env_steps"], result["eval"]) == ("stopped", 60, None)
    state = load(checkpoints(folder)[-1])["record"]
    assert (state["env_steps"], state["evaluation_due"]) == (60, True)
