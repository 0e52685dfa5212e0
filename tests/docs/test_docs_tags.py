"""The page about TensorBoard names every tag that runs write, and no other."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.reporting.runs import TAGS
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


def read(folder: Path) -> set[str]:
    """The tags of a run folder; metrics.csv holds its scalars, too."""
    events = EventAccumulator(str(folder)).Reload()
    kinds = events.Tags()
    named, own = kinds["scalars"] + kinds["tensors"], ("_hparams_", "custom_scalars__")
    scalars = {tag for tag in named if not tag.startswith(own)}
    with (folder / "metrics.csv").open() as file:
        assert {row["tag"] for row in csv.DictReader(file)} == scalars
    return scalars | set(kinds["images"])


def test_the_page_names_what_is_written(tmp_path: Path, forks: Forks) -> None:
    written = set()
    for agent in AGENTS:
        cwd = tmp_path / agent / "cwd"
        cwd.mkdir(parents=True)
        words = [*whole(f"agent={agent}"), "hydra.run.dir=run", *RUN]
        assert forks.run(words, cwd) == 0, (cwd.parent / "err").read_text()
        written |= (tags := read(cwd / "run"))
        # Who writes an entropy, or a policy's loss, is named beside it.
        for tag in ("entropy", "actor_loss", "found_share"):
            assert (f"train/{tag}" in tags) == (agent.upper() in NAMED[f"train/{tag}"])
    assert written == set(NAMED) >= set(TAGS)  # and reports read no others
