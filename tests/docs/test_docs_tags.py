"""The page about TensorBoard names every tag that runs write, and no other."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.commands.forked_commands import Forks
from tests.config.conf_files import words as whole
from tests.docs.docs_pages import ROOT

PAGE = (ROOT / "docs/tensorboard.md").read_text()
NAMED = dict(re.findall(r"^\| `(\w+/\w+)` \| (.+) \|$", PAGE, re.MULTILINE))
AGENTS = sorted(path.stem for path in (ROOT / "conf/agent").glob("*.yaml"))
RUN = [
    "trainer.total_steps=240", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.2", "trainer.eval_every=100", "trainer.eval_episodes=2",
    "trainer.log_every=50", "trainer.checkpoint_every=100", "env.num_envs=1",
    "agent.hidden_sizes=[8]", "env.num_eval_envs=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The tags that a small run of each agent writes, in TensorBoard."""
    forks, tags = Forks(), {}
    for agent in AGENTS:
        root = tmp_path_factory.mktemp(agent)
        words = [*whole(f"agent={agent}"), "hydra.run.dir=run", *RUN]
        assert forks.run(words, root / "cwd") == 0, (root / "err").read_text()
        tags[agent] = read(root / "cwd" / "run")
    yield tags
    forks.close(120)


def read(folder: Path) -> set[str]:
    """The tags of a run folder; metrics.csv holds its scalars, too."""
    events = EventAccumulator(str(folder)).Reload()
    kinds = events.Tags()
    named, own = kinds["scalars"] + kinds["tensors"], ("_hparams_", "custom_scalars__")
    scalars = {tag for tag in named if not tag.startswith(own)}
    with (folder / "metrics.csv").open() as file:
        assert {row["tag"] for row in csv.DictReader(file)} == scalars
    return scalars | set(kinds["images"])


def test_the_page_names_what_is_written(written: dict[str, set[str]]) -> None:
    assert set.union(*written.values()) == set(NAMED)


def test_tags_of_some_agents_say_so(written: dict[str, set[str]]) -> None:
    """Who writes an entropy is named beside it; a policy's loss is for agents that have a policy."""
    for tag in ("train/entropy", "train/entropy_temperature"):
        assert {agent for agent, tags in written.items() if tag in tags} == {"sac", "tqc"}
        assert "(SAC, TQC)" in NAMED[tag]
    assert {agent for agent, tags in written.items() if "train/found_share" in tags} == {"crl"}
    assert "(CRL)" in NAMED["train/found_share"]
    policies = {agent for agent, tags in written.items() if "train/actor_loss" in tags}
    assert policies == {"ddpg", "td3", "sac", "tqc", "crl"}
    assert all(agent.upper() in NAMED["train/actor_loss"] for agent in policies)
    common = set.intersection(*written.values())
    some = {"actor_loss", "entropy", "entropy_temperature", "found_share"}
    assert set(NAMED) - common == {f"train/{name}" for name in some}
