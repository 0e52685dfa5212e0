"""Recorded updates do what updates do. On a CPU a recording is a function that is called again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from her_exp.learning.replays import Replays
from tests.agents.kit import ALL, batches, ddpg, redq, sac, see, td3
from tests.equality import equal


class Recorder:
    """Counts what is recorded and replayed; like a GPU it does nothing while it records."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            run()

        return replay


def both(make: Any, **settings: Any) -> tuple[Any, Any, Recorder]:
    """An agent whose updates run as they are, and its twin that replays them."""
    plain, replaying, recorder = make(**settings), make(**settings), Recorder()
    replaying.replays = Replays(recorder)
    for agent in (plain, replaying):
        see(agent, steps=10)
    return plain, replaying, recorder


@ALL
def test_a_replayed_update_is_the_update(make: Any) -> None:
    plain, replaying, recorder = both(make)
    for i, batch in enumerate(batches(make, 20)):
        if i == 13:  # the normaliser goes on
            see(plain, seed=8), see(replaying, seed=8)
        told = [agent.update(batch) for agent in (plain, replaying)]
        assert equal(*({k: v.reshape(()) for k, v in one.items()} for one in told))
    assert equal(plain.state_dict(), replaying.state_dict())
    assert recorder.replayed >= 14


def test_each_kind_of_update_is_recorded_once() -> None:
    """TD3's policy moves in every other update, targets in every third; and a batch has another size."""
    plain, replaying, recorder = both(td3, policy_every=2, target_every=3)
    for batch in [*batches(td3, 30), *batches(td3, 30, size=8)]:
        for agent in (plain, replaying):
            agent.update(batch)
    assert equal(plain.state_dict(), replaying.state_dict())
    assert recorder.recorded == 8


def test_a_setting_that_changes_counts_at_once() -> None:
    plain, replaying, recorder = both(ddpg)
    for i, batch in enumerate(batches(ddpg, 16)):
        for agent in (plain, replaying):
            agent.actor_lr = 1e-3 if i < 8 else 1e-2
            agent.update(batch)
    assert equal(plain.state_dict(), replaying.state_dict())
    assert recorder.recorded == 2


def test_metrics_of_one_update_are_not_overwritten_by_the_next() -> None:
    _, replaying, _ = both(sac)
    told = [replaying.update(batch) for batch in batches(sac, 8)]
    losses = [float(one["critic_loss"]) for one in told]
    assert len(set(losses)) == 8
    assert losses == [float(one["critic_loss"]) for one in told]


def cannot(run: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_what_cannot_be_recorded_runs_as_it_is_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, refused, _ = both(redq)
    refused.replays = Replays(cannot)
    for batch in batches(redq, 12):
        plain.update(batch), refused.update(batch)
    assert equal(plain.state_dict(), refused.state_dict())
    (line,) = [r.message for r in caplog.records if "unrecorded" in r.message]
    assert line.endswith("slower: operation not permitted when stream is capturing")


def test_a_rate_that_never_stands_still_is_not_recorded_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, refused, recorder = both(ddpg)
    for i, batch in enumerate(batches(ddpg, 60)):
        for agent in (plain, refused):
            agent.critic_lr = 1e-3 / (1 + i)
            agent.update(batch)
    assert equal(plain.state_dict(), refused.state_dict())
    assert recorder.recorded == 0
    assert sum("unrecorded" in r.message for r in caplog.records) == 1
