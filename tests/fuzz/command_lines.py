"""Command lines made at random from the real configuration: right ones, and wrong ones of every kind."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from her_exp.config.compose import compose
from her_exp.config.hydra_api import plain
from tests.config.conf_files import CHOICES, GROUPS, words

#: A run of 200 steps. A command line that speaks of a key itself does without ours.
SHORT = {
    "trainer.total_steps": "200", "trainer.learning_starts": "100", "trainer.batch_size": "16",
    "trainer.updates_per_step": "0.2", "trainer.eval_episodes": "2", "trainer.picture": "false",
    "trainer.eval_every": "150", "env.num_eval_envs": "2", "agent.hidden_sizes": "[8]",
}  # fmt: skip
#: What leaves a line right: up to three settings, and one of the others. `&` joins words.
RIGHT = """
    ++agent.gamma=0.9 ++agent.tau=1 ++agent.normalize=false agent.normalize_clip=3 agent.layer_norm=false
    ++agent.target_every=3 ++agent.clip_targets=false agent.precision=float32 buffer=weighted buffer.k=0.5
    ++buffer.k=8 buffer.strategy=final buffer.strategy=future_actual buffer.capacity=400 seed=3 threads=2
    trainer.log_every=7 trainer.stop_at=0.5 env.num_envs=3
    env.backend=sync
    """
EXTRAS = """
    seed=1&seed=2 trainer.log_every=${trainer.eval_every} env.name=../../x env.name='a.b' env.name='日本'
    -m&env.name=${.id}&seed=1,2 hydra.run.dir='a_b/ü' hydra.job.chdir=true hydra.verbose=true
    hydra.output_subdir=null --config-name=config --config-dir=. resume=auto&run_dir=a'b
    -m&sweep=mine&buffer.k=0,4 --multirun&hydra.sweep.subdir=${hydra.job.num}&seed=range(2)
    hydra.mode=MULTIRUN&buffer.k=choice(0,1)
    """
#: `&` joins words. KEY is a key whose value is a number, TYPO a slip in it, GROUP a group; `done` a finished
#: run, `file` a file.
WRONG = {
    "wrong_type": "KEY=abc KEY='' KEY=\"1\" KEY=true KEY=[1,2] KEY=[[]] KEY={a:1} KEY=[null] KEY=½ KEY=٣",
    "no_number": f"KEY=nan KEY=inf KEY=-inf KEY=1e400 KEY={'9' * 400} KEY=-{'9' * 4000}",
    "unknown_key": "TYPO=1 +TYPO=1 ++TYPO=1 ~TYPO",
    "misspelt_group": "agnt=ddpg experimnt=nav2d envs=gym env=nav2b agent=ddpgg experiment=bit_flop",
    "grammar": """
        KEY=[1 KEY=] KEY='a KEY=\" KEY={ KEY=(1 KEY=a=b KEY KEY==1 KEY=${ KEY=1, KEY=a:b,c:{ =5 = ~ + 🙂
        """,
    "empty": """
        KEY= KEY='' GROUP= GROUP='' env.id= env.id='' buffer.strategy= device='' env.imports=''
        """,
    "deletion": """
        ~GROUP ~agent._target_ ~seed ~threads ~device ~agent.gamma=-3 ~env.id ~nothing ~hydra.nothing
        """,
    "addition": "+KEY=1 +agent.spaces=1 +trainer.env=1 +cool=1 +a.b.c=1",
    "hydra_setting": """
        hydra.bogus=1 hydra/sweeper=optunna hydra.mode=SOMETIMES hydra.job.chdir=maybe hydra=null
        -m&hydra.sweeper._target_=nope hydra/job_logging=nope -m&hydra.sweep.dir=null hydra.verbose={a:1}
        -m&hydra.sweep.subdir=${nope} hydra.job.name=[1] ~hydra hydra.searchpath=3 hydra.job_logging=null
        hydra.output_subdir=[1] hydra.run.dir=null hydra.run.dir=done hydra.run.dir=file/x sweep=ü sweep=/abs
        """,
    "run_again": """
        rerun=file resume=. resume=done rerun=done&seed=1,2 rerun=done&~seed rerun=done&seed=[ rerun=done&=
        rerun=done&agent._target_=os.system rerun=done&+agent.x=${seed} rerun=done&hydra.run.dir=x
        resume=done&trainer.total_steps=300&env.num_eval_envs=-1 rerun=done&run_dir=file/x resume=日本
        rerun=done&trainer=null rerun=done&env.id=nope rerun=done&agent.gamma=???
        """,
    "path_for_a_name": """
        GROUP=../env/nav2d experiment=/etc/passwd GROUP=../../x hydra/launcher=.. GROUP=. GROUP=nav2d/
        experiment=./nav2d GROUP=../agent/ddpg GROUP=日本
        """,
    "interpolation": """
        KEY=${nope} KEY=${trainer} KEY=${bad:1} KEY=${oc.env:NOPE} KEY=${oc.env:HOME} KEY=???
        KEY=${hydra:nope} KEY=${now:%Y}a KEY=${KEY} KEY=${oc.decode:'['}
        """,
    "target": """
        GROUP._target_=os.system GROUP._target_=builtins.print agent._target_=her_exp.agents.ddpg.DDPGG
        buffer._target_=her_exp.training.trainer.Trainer GROUP._target_='' GROUP._target_=3
        GROUP._target_=null GROUP._target_=a..b GROUP._target_=日本.x GROUP._target_=her_exp
        GROUP._target_=[a] GROUP._target_=numpy.ndarray buffer.strategy={_target_:os.system}
        buffer.strategy={_target_:nope} buffer.strategy={} buffer.strategy={a:1} buffer.strategy=[future]
        agent._convert_=nope +agent._args_=[1] +agent._partial_=true +agent._recursive_=maybe
        +env.x={_target_:os.system}
        """,
    "value_for_a_group": """
        GROUP=null GROUP=3 GROUP=true GROUP={zzz:1} GROUP=[a,b] GROUP=1.5 GROUP={_target_:nope}
        """,
}
#: What else the refusal may name.
ALSO = {
    "deletion": ["env.name"],
    "addition": ["agent", "env", "trainer", "buffer", "a"],
    "run_again": ["done", "run.dir"],
}
KINDS = ["right"] * 14 + [*WRONG] + ["scrambled"] * 2


@dataclass
class Line:
    """A command line and what should come of it."""

    words: list[str]
    kind: str
    answer: Literal["train", "refuse", "either"]
    #: Of these one must stand in the refusal.
    names: list[str] = field(default_factory=list)

    @property
    def argv(self) -> list[str]:
        """The words, after those that keep a run short."""
        said = "\n".join(self.words)
        if "done" in said:
            return self.words
        return [*(f"{key}={value}" for key, value in SHORT.items() if key not in said), *self.words]


@functools.cache
def bases() -> list[tuple[list[str], list[str]]]:
    """Return the choices that need no other package, and the keys of each whose values are numbers."""
    found = [(words(choice), plain(compose(words(choice)))) for choice in CHOICES]
    return [
        (given, [f"{group}.{name}" for group in GROUPS[:4] for name, value in cfg[group].items()
                 if type(value) in (int, float)])
        for given, cfg in found
        if not cfg["env"]["imports"]
    ]  # fmt: skip


def key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def draw(random: Random, choices: str) -> list[str]:
    return random.choice(choices.split()).split("&")


def lines(seed: int) -> Iterator[Line]:
    """Make command lines without end: of each few dozen, fourteen right ones and every kind of wrong one."""
    random = Random(seed)
    while True:
        yield from (_line(random, kind) for kind in random.sample(KINDS, len(KINDS)))


def _line(random: Random, kind: str) -> Line:
    given, keys = random.choice(bases())
    more = {key_of(word): word for word in random.sample(RIGHT.split(), random.randrange(4))}
    more = {key: word for key, word in more.items() if key not in map(key_of, given)}
    if kind == "right":
        extra = draw(random, EXTRAS) if random.random() < 0.5 else []
        said = {key_of(word) for word in extra}  # a sweep takes each key once
        if said & {key_of(word) for word in given}:
            extra = []
        more = {key: word for key, word in more.items() if key not in said}
        return Line([*given, *more.values(), *extra], kind, "train")
    right = [*given, *more.values()]
    if kind == "scrambled":
        at = random.randrange(len(right))
        right[at] = slip(random, right[at])
        return Line(right, kind, "either")
    if kind == "no_number":  # k may be infinite
        keys = [key for key in keys if key != "buffer.k"]
    group, _, name = random.choice(keys).partition(".")
    known = {key.partition(".")[2] for key in keys}
    typo = next(
        t for t in iter(lambda: slip(random, name), None) if t.isidentifier() and t not in known
    )
    wrong = [
        word.replace("KEY", f"{group}.{name}")
        .replace("TYPO", f"{group}.{typo}")
        .replace("GROUP", group)
        for word in draw(random, WRONG[kind])
    ]
    names = [word if kind == "grammar" else key_of(word) for word in wrong if word != "-m"]
    alone = kind == "run_again"
    return Line(wrong if alone else [*right, *wrong], kind, "refuse", [*names, *ALSO.get(kind, [])])


def slip(random: Random, word: str) -> str:
    """A slip of the hand: a sign too many or too few."""
    here = random.randrange(len(word) + 1)
    # No digits: of these a slip makes hours of work.
    sign = random.choice(
        [*"[]{}()=,:~+'\"$@/.-\\ \n\t#&*?!|%;<>^`ß🙂\x7fx_", "${", "==", *[""] * 9]
    )
    gone = not sign and not word[here : here + 1].isdigit()
    return word[:here] + sign + word[here + gone :]
