"""Runs that learn from demonstrations: stopped and resumed, offline first, or offline alone."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from her_exp.buffers.demonstrations import WithDemonstrations
from her_exp.config.compose import compose
from her_exp.config.hydra_api import plain
from her_exp.data.minari_set import MinariSet
from her_exp.run import resume, train
from her_exp.system.signals import Stopped
from her_exp.together.alike import alone
from her_exp.training.build import make_trainer
from her_exp.training.checks import close_all
from her_exp.types import UserError
from tests.data.sets import reach_set
from tests.runs.resume_kit import killed_at, words
from tests.runs.runs_kit import (
    Stops,
    assert_same_run,
    assert_same_training,
    checkpoints,
    numbers,
    result_of,
)

#: The offline half has twelve calls of the buffer, of two batches each.
OFFLINE = ["trainer.total_steps=200", "trainer.offline_updates=24"]


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reach_set(tmp_path_factory.mktemp("sets") / "reach")


def begun(folder: Path, given: list[str]) -> Path:
    train(compose(given), folder, given)
    return folder


def test_resumed_at_a_checkpoint(demonstrations: Path, tmp_path: Path) -> None:
    given = words("ddpg_rare", "point_reach", f"buffer.demonstrations={demonstrations}")
    source = begun(tmp_path / "whole", [*given, "trainer.offline_updates=20"])
    assert result_of(source)["updates"] == 20 + int((400 - 60) * 0.3)
    first = [(tag, value) for step, tag, value in numbers(source) if step == 0]
    assert ("offline/updates", "20.0") in first
    assert "eval/success_final" in dict(first)
    saved = [torch.load(path, weights_only=True) for path in checkpoints(source)]
    assert [state["envs"]["kind"] for state in saved] == ["new", "barrier", "barrier", "exact"]
    assert all("ring" not in state["buffer"]["demonstrations"] for state in saved)
    for number in range(4):
        folder = killed_at(source, number, tmp_path / str(number))
        resume(folder)
        assert_same_run(source, folder)

    data = killed_at(source, 1, tmp_path / "changed"), demonstrations / "data/main_data.hdf5"
    before = data[1].read_bytes()
    with h5py.File(data[1], "r+") as file:
        file["episode_0/observations/observation"][0, 0] += 0.01
    with pytest.raises(UserError, match=r"the data of this set has changed since the run began"):
        resume(data[0])
    data[1].write_bytes(before)


def test_stopped_by_a_signal_in_the_offline_half_and_after(
    demonstrations: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = words("ddpg", "point_reach", f"buffer.demonstrations={demonstrations}", *OFFLINE)
    source = begun(tmp_path / "whole", given)
    Stops(monkeypatch, WithDemonstrations, "sample").at = {2, 14}
    with pytest.raises(Stopped):
        begun(tmp_path / "run", given)
    (path,) = checkpoints(tmp_path / "run")
    assert torch.load(path, weights_only=True)["record"]["offline"] == 4
    with pytest.raises(Stopped):
        resume(tmp_path / "run")
    assert 0 < result_of(tmp_path / "run")["env_steps"] < 200
    resume(tmp_path / "run")
    assert_same_run(source, tmp_path / "run")


def test_offline_alone_and_online_later(demonstrations: Path, tmp_path: Path) -> None:
    given = words("ddpg", "sync_reach", f"buffer.demonstrations={demonstrations}")
    given.append("trainer.offline_updates=20")
    whole = begun(tmp_path / "whole", given)
    run = begun(tmp_path / "run", [*given, "trainer.total_steps=0"])
    result = result_of(run)
    assert (result["status"], result["env_steps"], result["updates"]) == ("done", 0, 20)
    assert result["eval"]["episodes"] == 2
    with pytest.raises(UserError, match=r"done after 0 env steps; give more, e\.g\. trainer"):
        resume(run)
    resume(run, ["trainer.total_steps=400"])
    assert_same_training(whole, run)


def test_the_agent_sees_each_state_of_the_set_once(demonstrations: Path, tmp_path: Path) -> None:
    cfg = compose(words("ddpg", "point_reach", f"buffer.demonstrations={demonstrations}"))
    assert alone(plain(cfg)) == "buffer.demonstrations"
    trainer = make_trainer(cfg, tmp_path)
    close_all(trainer.env, trainer.eval_env, trainer.functions, trainer.logger)
    spaces = trainer.agent.spaces
    episodes = [*MinariSet(str(demonstrations)).episodes(spaces)]
    states = np.concatenate([episode.observation["observation"] for episode in episodes])
    seen = trainer.agent.inputs.observation
    assert seen.weight == len(states) == 33
    assert seen.mean == pytest.approx(states.mean(0, np.float64))
    assert trainer.agent.env_steps == 0
    k = trainer.buffer.achieved_share
    asked, reached = (
        np.concatenate([e.observation[key][which] for e in episodes]).mean(0, np.float64)
        for key, which in (("desired_goal", slice(None, -1)), ("achieved_goal", slice(1, None)))
    )
    assert trainer.agent.inputs.goal.mean == pytest.approx((1 - k) * asked + k * reached)
