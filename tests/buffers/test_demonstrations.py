"""What is drawn from the run's buffer and from a set, beside the slow reference of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp.buffers.demonstrations import WithDemonstrations, steps_of
from her_exp.data.minari_set import MinariSet
from her_exp.types import Batch
from tests.buffers.audit import compare
from tests.buffers.oracle import Oracle
from tests.buffers.side_by_side import Both
from tests.buffers.world import World
from tests.data.sets import episodes_of, write_set


def stored(tmp_path: Path, seed: int, **settings: Any) -> tuple[Any, Oracle]:
    """A set, read from the disk into a buffer, and an oracle that saw its steps in the world."""
    kind = settings.get("kind", "float")
    world = World(kind, 1, seed)
    first = world.reset()
    episodes = episodes_of(world.step, 6)
    found = MinariSet(str(write_set(tmp_path / "set", episodes)))
    assert found.rows == sum(len(steps) + 1 for steps in episodes)
    both = Both(found.rows, seed=seed, **settings)
    both.oracle.begin(first)
    for number, steps in enumerate(episodes):
        if number:
            both.oracle.begin(steps[0].observation)
        for step in steps:
            both.oracle.add(step)
    keys = world.functions.info_keys
    found.fits(world.spaces, "any", keys)
    for episode in found.episodes(world.spaces, keys):
        both.buffer.begin({key: value[:1] for key, value in episode.observation.items()})
        for step in steps_of(episode, world.functions):
            both.buffer.add(step)
    return both.buffer, both.oracle


def rows(batches: list[Batch], which: slice) -> list[Batch]:
    return [Batch(*(part[which] for part in batch[:-1])) for batch in batches]


@pytest.mark.parametrize(
    "settings",
    [{}, {"kind": "int", "k": 1}, {"n_step": 3, "strategy": "final"}, {"kind": "bytes"}],
    ids=str,
)
def test_each_half_is_its_buffers_relabelled_right(settings: Any, tmp_path: Path) -> None:
    theirs, oracle = stored(tmp_path, seed=3, **settings)
    own = Both(40, lanes=2, seed=5, **settings)
    buffer = WithDemonstrations(own.buffer, theirs, 0.3)
    alone = buffer.sample(10, 2)  # the run has no step yet
    assert all((batch.demonstrated == 1).all() for batch in alone)
    compare(theirs, oracle, rows(alone, slice(None)))
    own.begin()
    assert (buffer.sample(10)[0].demonstrated == 1).all()
    for _ in range(30):
        step = own.world.step()
        own.oracle.add(step)
        buffer.add(step)
    drawn = set()
    for _ in range(20):
        batches = buffer.sample(10, 3)
        marks = torch.stack([batch.demonstrated for batch in batches])
        assert (marks == torch.tensor([0.0] * 7 + [1.0] * 3)).all()
        compare(own.buffer, own.oracle, rows(batches, slice(7)))
        drawn |= {state.key for state, _ in compare(theirs, oracle, rows(batches, slice(7, 10)))}
    assert drawn >= {state.key for state in oracle.drawable()} or len(drawn) > 12
    assert buffer.metrics()["demonstrations_share"] == 0.3


def test_the_share_is_a_count_of_rows(tmp_path: Path) -> None:
    theirs, _ = stored(tmp_path, seed=3)
    own = Both(40, seed=5)
    for share, count in ((0.01, 1), (0.5, 4), (0.99, 7), (1.0, 8)):
        buffer = WithDemonstrations(own.buffer, theirs, share)
        buffer.begin(own.world.reset())
        buffer.add(own.world.step())
        assert [float(b.demonstrated.sum()) for b in buffer.sample(8, 2)] == [count] * 2
