"""Command lines made at random from the real configuration: right ones, and wrong ones of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.fuzz import (
    wrong_settings,  # noqa: F401  (enters its kinds, the first in the order of WRONG)
    wrong_writing,  # noqa: F401  (enters its kinds)
)
from tests.fuzz.config_tree import Base, good_value, tree
from tests.fuzz.wrong_words import DONE, EITHER, VALUES, WRONG

#: A run of 200 steps. A command line that speaks of a key itself does without ours.
SHORT = {
    "trainer.total_steps": "200", "trainer.learning_starts": "100", "trainer.batch_size": "16",
    "trainer.updates_per_step": "0.2", "trainer.eval_episodes": "2", "trainer.picture": "false",
    "trainer.eval_every": "150", "env.num_eval_envs": "2", "agent.hidden_sizes": "[8]",
}  # fmt: skip


@dataclass
class Line:
    """A command line and what should come of it."""

    words: list[str]
    kinds: list[str] = field(default_factory=list)
    #: For each wrong: of these one must stand in the refusal.
    names: list[str] = field(default_factory=list)
    answer: Literal["train", "refuse", "either", "question"] = "train"

    @property
    def argv(self) -> list[str]:
        """The words, after those that keep a run short."""
        alone = self.answer == "question" or any(DONE in word for word in self.words)
        return [*([] if alone else _short(self.words)), *self.words]


def _short(words: Iterable[str]) -> list[str]:
    text = "\n".join(words)
    return [f"{key}={value}" for key, value in SHORT.items() if key not in text]


# --- right ones ----------------------------------------------------------------------------------


def right_words(random: Random, base: Base) -> list[str]:
    """Draw changes of leaves that leave everything right."""
    given = {word.partition("=")[0].lstrip("+") for word in base.words}
    free = [key for key in base.leaves if key not in SHORT and key not in given]
    keys = random.sample(free, random.randrange(5))
    plus = random.choice(["", "", "", "++"])
    return [f"{plus}{key}={good_value(random, base.leaves[key])}" for key in keys]


#: What may be added to a right line and leaves it right.
EXTRAS: list[list[str]] = [
    [], [], [], [], [], [],
    ["seed=1", "seed=2"],
    ["agent.gamma=${agent.tau}"],
    ["env.name=../../x"],
    ["env.name='a b\tc'"],
    ["env.name='日本'"],
    ["env.name=${.id}"],
    ["-m", "env.name=${.id}", "seed=1,2"],
    ["hydra.run.dir=mine"],
    ["hydra.run.dir='a b/ü'"],
    ["hydra.job.chdir=true"],
    ["hydra.verbose=true"],
    ["hydra.output_subdir=null"],
    ["--config-name=config"],
    ["--config-dir=."],
    ["resume=auto", "run_dir=new"],
    ["resume=auto", "run_dir=a b'c"],
    ["-m", "seed=1,2"],
    ["-m", "sweep=mine", "buffer.k=0,4"],
    ["--multirun", "hydra.sweep.subdir=${hydra.job.num}", "seed=range(2)"],
    ["hydra.mode=MULTIRUN", "buffer.k=choice(0,1)"],
]  # fmt: skip
#: Lines that stand for themselves: about a run that is done.
AGAIN = [
    [f"rerun={DONE}", "seed=3"],
    [f"rerun={DONE}", "run_dir=other", "buffer.k=2"],
    [f"resume={DONE}", "trainer.total_steps=300"],
    [f"resume={DONE}", "trainer.total_steps=250", "trainer.eval_every=null"],
    ["resume=auto", f"run_dir={DONE}"],
]
#: Answered at once: nothing runs.
QUESTIONS = [
    ["--help"], ["-h"], ["--version"], ["--hydra-help"], ["--info", "config"],
    ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["-c", "all"], ["--cfg=hydra"],
]  # fmt: skip


# --- lines ---------------------------------------------------------------------------------------


def lines(seed: int) -> Iterator[Line]:
    """Make command lines without end: of each fifty, twenty right ones and every kind of wrong one."""
    random = Random(seed)
    while True:
        kinds = ["right"] * 20 + [*WRONG] + ["scrambled"] * 2 + ["again", "question"] * 2
        random.shuffle(kinds)
        yield from (_line(random, kind) for kind in kinds)


def _line(random: Random, kind: str) -> Line:
    if kind == "question":
        return Line(list(random.choice(QUESTIONS)), [kind], answer="question")
    if kind == "again":
        return Line(list(random.choice(AGAIN)), [kind])
    base = random.choice(tree()[0])
    line = Line([*base.words, *right_words(random, base)], [kind])
    if kind == "right":
        extra = random.choice(EXTRAS)
        if {"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*extra}:  # a sweep takes each key once
            again = {word.partition("=")[0] for word in extra}
            line.words = [w for w in line.words if w.partition("=")[0].lstrip("+") not in again]
        line.words += extra
        return line
    line.answer = "either" if kind in EITHER else "refuse"
    line.names = WRONG[kind](random, base, line.words)
    if kind in VALUES and random.random() < 0.3:
        line.kinds.append(random.choice(VALUES))
        line.names += WRONG[line.kinds[-1]](random, base, line.words)
    return line
