"""Command lines made at random from the real configuration: right ones, and wrong ones of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.fuzz.config_tree import Base, good_value, tree
from tests.fuzz.wrong_words import VALUES, WRONG, key_of, scrambled

#: A run of 200 steps. A command line that speaks of a key itself does without ours.
SHORT = {
    "trainer.total_steps": "200", "trainer.learning_starts": "100", "trainer.batch_size": "16",
    "trainer.updates_per_step": "0.2", "trainer.eval_episodes": "2", "trainer.picture": "false",
    "trainer.eval_every": "150", "env.num_eval_envs": "2", "agent.hidden_sizes": "[8]",
}  # fmt: skip
KINDS = ["right"] * 20 + [*WRONG] + ["scrambled"] * 2 + ["again", "question"] * 2


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
        said = "\n".join(self.words)
        if self.answer == "question" or "done" in said:
            return self.words
        return [*(f"{key}={value}" for key, value in SHORT.items() if key not in said), *self.words]


def right_words(random: Random, base: Base) -> list[str]:
    """Draw changes of leaves that leave everything right."""
    given = {*SHORT, *map(key_of, base.words)}
    keys = random.sample([key for key in base.leaves if key not in given], random.randrange(5))
    plus = random.choice(["", "", "", "++"])
    return [f"{plus}{key}={good_value(random, base.leaves[key])}" for key in keys]


#: What may be added to a right line and leaves it right; half of the lines go without. `&` joins words.
EXTRAS = """
    seed=1&seed=2 agent.gamma=${agent.tau} env.name=../../x env.name='a.b' env.name='日本'
    -m&env.name=${.id}&seed=1,2 hydra.run.dir=a_b/ü hydra.job.chdir=true hydra.verbose=true
    hydra.output_subdir=null --config-name=config --config-dir=. resume=auto&run_dir=a'b
    -m&sweep=mine&buffer.k=0,4 --multirun&hydra.sweep.subdir=${hydra.job.num}&seed=range(2)
    hydra.mode=MULTIRUN&buffer.k=choice(0,1)
    """
#: Lines that stand for themselves: about a run that is done, or answered at once.
AGAIN = """
    rerun=done&seed=3 rerun=done&run_dir=other&buffer.k=2 resume=done&trainer.total_steps=300
    resume=done&trainer.total_steps=250&trainer.eval_every=null resume=auto&run_dir=done
    """
QUESTIONS = """
    --help -h --version --hydra-help --info&config --cfg&job --cfg&job&--resolve -c&all --cfg=hydra
    """


def lines(seed: int) -> Iterator[Line]:
    """Make command lines without end: of each fifty, twenty right ones and every kind of wrong one."""
    random = Random(seed)
    while True:
        yield from (_line(random, kind) for kind in random.sample(KINDS, len(KINDS)))


def _line(random: Random, kind: str) -> Line:
    if kind == "question":
        return Line(random.choice(QUESTIONS.split()).split("&"), [kind], answer="question")
    if kind == "again":
        return Line(random.choice(AGAIN.split()).split("&"), [kind])
    base = random.choice(tree())
    line = Line([*base.words, *right_words(random, base)], [kind])
    if kind == "right":
        extra = random.choice(EXTRAS.split()).split("&") if random.random() < 0.5 else []
        said = {key_of(word) for word in extra}  # a sweep takes each key once
        line.words = [word for word in line.words if key_of(word) not in said] + extra
    elif kind == "scrambled":
        line.answer, at = "either", random.randrange(len(line.words))
        line.words[at] = scrambled(random, line.words[at])
    else:
        line.answer = "refuse"
        again = kind in VALUES and random.random() < 0.3
        for wrong in [kind, *([random.choice([*VALUES])] if again else [])]:
            words, names = WRONG[wrong](random, base)
            line.words = words if kind == "run_again" else [*line.words, *words]
            line.names += names
    return line
