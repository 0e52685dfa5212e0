"""Command lines made at random from the real configuration: right ones, and wrong ones of every kind.

All that is drawn comes from where the program has it: groups and leaves from the files of conf/, types
from the signatures of the classes they name, limits from `RANGES`. So a new agent, env or key joins by
itself. A kind of wrongness is one function with `@wrong`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from her_exp import validate as validation
from her_exp.buffers.goals import STRATEGIES
from her_exp.config import CONF_DIR, compose, plain
from her_exp.ranges import RANGES, Range
from her_exp.signatures import _choices, arguments, find_class, mismatch
from her_exp.types import UserError

GROUPS = ("env", "buffer", "agent", "trainer")
#: What a group's file needs beside it, where it leaves a value to the user.
NEEDS = {"env=gym": ["env.id=her_exp/PointReach-v0", "+env.max_steps=10"]}
#: A run of 200 steps. A command line that speaks of a key itself does without ours.
SHORT = {
    "trainer.total_steps": "200", "trainer.learning_starts": "100", "trainer.batch_size": "16",
    "trainer.updates_per_step": "0.2", "trainer.eval_episodes": "2", "trainer.picture": "false",
    "trainer.eval_every": "150", "env.num_eval_envs": "2", "agent.hidden_sizes": "[8]",
}  # fmt: skip
#: A finished run of our own, beside the command line that is tried.
DONE = "done"


@dataclass
class Leaf:
    """A value of the configuration, what its class takes there, and its limits."""

    key: str
    value: Any
    takes: Any
    range: Range | None


@dataclass
class Base:
    """A choice of groups, and every leaf that it has."""

    words: list[str]
    leaves: dict[str, Leaf]


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


# --- the tree ----------------------------------------------------------------------------------


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


@functools.cache
def tree() -> tuple[list[Base], list[list[str]]]:
    """Return the choices of groups that fit together, and those of an agent that cannot act."""
    fit, misfit = [], []
    for env in options("env"):
        company = [f"env={env}", *NEEDS.get(f"env={env}", [])]
        for agent in options("agent"):
            words = [*company, f"agent={agent}"]
            cfg = plain(compose(words))
            if cfg["env"]["imports"]:  # another package, which may be absent or slow to start
                continue
            wrong = validation._env_and_agent(cfg)
            if wrong is None:
                fit.append(_base(words))
            else:
                misfit.append(words)
    fit += [_base([f"experiment={name}"]) for name in options("experiment")]
    return fit, misfit


def _base(words: list[str]) -> Base:
    cfg = plain(compose(words))
    leaves = {}
    for group in GROUPS:
        node = cfg[group]
        cls = find_class(group, node["_target_"])
        takes = arguments(cls)
        takes = validation._with_env(cls, takes, node) if group == "env" else takes
        for name, value in node.items():
            if not name.startswith("_"):
                key = f"{group}.{name}"
                leaves[key] = Leaf(key, value, takes.types[name], RANGES.get(name))
    for name in ("seed", "threads"):
        leaves[name] = Leaf(name, cfg[name], int, RANGES[name])
    return Base(words, leaves)


def text(value: Any) -> str:
    """Write a value as on the command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{','.join(map(text, value))}]" if isinstance(value, list) else str(value)


# --- right values --------------------------------------------------------------------------------


def good_value(random: Random, leaf: Leaf) -> str:
    """Draw a value that the leaf may have: a choice, or a number from its default to twice that."""
    choices = [c for c in _choices(leaf.takes) if isinstance(c, str)]
    if choices:
        return str(random.choice(choices))
    if isinstance(leaf.value, bool) and not leaf.key.startswith(
        "env."
    ):  # those may change its spaces
        return text(random.random() < 0.5)
    if leaf.key == "buffer.strategy":
        return str(random.choice(sorted(STRATEGIES)))
    if leaf.range is None or leaf.value is None:
        return text(leaf.value)
    if isinstance(leaf.value, list):
        return text([random.randint(1, 32) for _ in range(random.randrange(4))])
    most = min(2 * leaf.value or 1, leaf.range.high)
    if isinstance(leaf.value, int) and not _takes_floats(leaf):
        return str(random.randint(leaf.value, max(leaf.value, int(most))))
    share = random.choice([0.0, 0.1, 0.5, 0.9])
    return repr(leaf.value + share * (most - leaf.value))


def _takes_floats(leaf: Leaf) -> bool:
    return mismatch(1.5, leaf.takes) is None


def right_words(random: Random, base: Base) -> list[str]:
    """Draw changes of leaves that leave everything right."""
    free = [key for key in base.leaves if key not in SHORT]
    keys = random.sample(free, random.randrange(5))
    plus = random.choice(["", "", "", "++"])
    return [f"{plus}{key}={good_value(random, base.leaves[key])}" for key in keys]


Extra = tuple[list[str], list[str]]
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
    ["sweep=2026"],
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


# --- wrong words ---------------------------------------------------------------------------------

Wrong = Callable[[Random, Base, list[str]], list[str]]
WRONG: dict[str, Wrong] = {}
#: Kinds that may turn out right after all.
EITHER = ("scrambled",)
#: Kinds of single values, which go together.
VALUES = ("wrong_type", "out_of_range", "unknown_key")


def wrong(make: Wrong) -> Wrong:
    """Register a kind of wrongness: it changes the words; one of what it returns must be named."""
    WRONG[make.__name__] = make
    return make


def some_leaf(random: Random, base: Base, fits: Callable[[Leaf], bool] = lambda _: True) -> Leaf:
    leaf = random.choice([leaf for leaf in base.leaves.values() if fits(leaf)])
    assert isinstance(leaf, Leaf)
    return leaf


def typo(random: Random, word: str, known: Iterable[str]) -> str:
    """Draw a misspelling of a word that is no other known word."""
    at = random.randrange(len(word))
    spelt = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + "x" + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
        word + "_of_mine",
    ]
    taken = {*known, word, ""}
    return str(random.choice([s for s in spelt if s not in taken and s.isidentifier()]))


#: What people write into the wrong place: text, and what it is read as.
STRANGE: dict[str, Any] = {
    "abc": "abc", "''": "", '"1"': "1", "1.5": 1.5, "true": True, "null": None, "[1,2]": [1, 2],
    "[[]]": [[]], "{a: 1}": {"a": 1}, "[null]": [None], "½": "½", "٣": "٣", "1e400": math.inf,
}  # fmt: skip


@wrong
def wrong_type(random: Random, base: Base, words: list[str]) -> list[str]:
    def strange(leaf: Leaf) -> list[str]:
        return [t for t, v in STRANGE.items() if mismatch(v, leaf.takes) is not None]

    leaf = some_leaf(random, base, lambda leaf: bool(strange(leaf)))
    words.append(f"{leaf.key}={random.choice(strange(leaf))}")
    return [leaf.key]


@wrong
def out_of_range(random: Random, base: Base, words: list[str]) -> list[str]:
    leaf = some_leaf(random, base, lambda leaf: leaf.range is not None)
    assert leaf.range is not None
    low, high = leaf.range.low, leaf.range.high
    near = [low - 1, low if leaf.range.low_open else low - 2, high + 1, high, -low - 7]
    values = [
        str(int(v) if v.is_integer() and not _takes_floats(leaf) else v)
        for v in map(float, near)
        if not leaf.range.holds(v) and math.isfinite(v)
    ]
    value = random.choice([*values, "nan", "inf", "-inf", "-0.5", "-1e300"])
    words.append(f"{leaf.key}={f'[{value}]' if isinstance(leaf.value, list) else value}")
    return [leaf.key]


@wrong
def unknown_key(random: Random, base: Base, words: list[str]) -> list[str]:
    group, _, name = some_leaf(random, base, lambda leaf: "." in leaf.key).key.partition(".")
    spelt = f"{group}.{typo(random, name, [k.partition('.')[2] for k in base.leaves])}"
    plus = random.choice(["", "", "+", "++", "~"])
    words.append(f"{plus}{spelt}" if plus == "~" else f"{plus}{spelt}=1")
    return [spelt]


@wrong
def misspelt_group(random: Random, base: Base, words: list[str]) -> list[str]:
    group = random.choice([*GROUPS, "experiment"])
    option = random.choice(options(group))
    if random.random() < 0.5:
        spelt = typo(random, group, [*GROUPS, *SHORT])
        words.append(f"{spelt}={option}")
        return [spelt]
    spelt = typo(random, option, options(group))
    words.append(f"{group}={spelt}")
    return [f"{group}={spelt}"]


@wrong
def misfit(random: Random, base: Base, words: list[str]) -> list[str]:
    words[:] = random.choice(tree()[1])
    return ["agent: "]


@wrong
def contradiction(random: Random, base: Base, words: list[str]) -> list[str]:
    pairs = {
        "trainer.batch_size": ["buffer.capacity=100", "trainer.batch_size=101"],
        "trainer.learning_starts": ["trainer.total_steps=50", "trainer.learning_starts=50"],
        "buffer.capacity": ["env.num_envs=60", "buffer.capacity=100"],
        "env.backend": ["env=gym", "env.id=Acrobot-v1", "env.backend=native"],
        "env.reward_range": ["env.reward_range=[0,-1]"],
        "env.id": ["env=gym", "env.id=CartPole-v1"],
    }
    if "env.goal_high" in base.leaves:
        pairs |= {"goal_high": ["env.size=2"], "goal_low": ["env.goal_low=4.5"]}
    name = random.choice(sorted(pairs))
    if "env=gym" in pairs[name]:
        words.clear()
    words += pairs[name]
    return [name]


@wrong
def huge(random: Random, base: Base, words: list[str]) -> list[str]:
    """More than any machine has, or more digits than a machine's number."""
    if random.random() < 0.5:
        leaf = some_leaf(random, base, lambda leaf: leaf.range is not None)
        value = random.choice(["", "-"]) + "9" * 400
        words.append(f"{leaf.key}={f'[{value}]' if isinstance(leaf.value, list) else value}")
        return [leaf.key]
    asks = {"buffer.capacity": "1000000000000", "agent.hidden_sizes": "[2000000,2000000]",
            "env.num_envs": "1000000000", "env.n_bits": "1000000000"}  # fmt: skip
    key = random.choice([key for key in asks if key in base.leaves])
    words.append(f"{key}={asks[key]}")
    return [key, "buffer.capacity"]


@wrong
def grammar(random: Random, base: Base, words: list[str]) -> list[str]:
    key = some_leaf(random, base).key
    ends = ["=[1", "=]", "='a", '="', "={", "=(1", "=a=b", "", "==1", "=${", "=1,", "=a:b,c:{"]
    word = random.choice([key + end for end in ends] + ["", "=5", "=", "~", "+", "🙂", "\udcff=1"])
    words.append(word)
    return [word]


@wrong
def empty(random: Random, base: Base, words: list[str]) -> list[str]:
    key = some_leaf(random, base, lambda leaf: mismatch("", leaf.takes) is not None).key
    word = random.choice([key, *GROUPS, "env.id", "buffer.strategy", "device", "env.imports"])
    words.append(f"{word}={random.choice(['', chr(39) * 2])}")
    return [word]


@wrong
def deletion(random: Random, base: Base, words: list[str]) -> list[str]:
    gone = ["agent", "env", "trainer", "buffer", "agent._target_", "seed", "threads", "device",
            "agent.gamma=-3", "env.id", "nothing", "hydra.nothing"]  # fmt: skip
    word = random.choice(gone)
    words.append(f"~{word}")
    return [word.partition("=")[0], "env.name"]


@wrong
def addition(random: Random, base: Base, words: list[str]) -> list[str]:
    key = random.choice(
        [some_leaf(random, base).key, "agent.spaces", "trainer.env", "cool", "a.b.c"]
    )
    words.append(f"+{key}=1")
    return [key, key.partition(".")[0]]


@wrong
def several_values(random: Random, base: Base, words: list[str]) -> list[str]:
    word = random.choice(["buffer.k=1,2", "seed=range(3)", "env=nav2d,gym", "seed=choice(1,2)",
                                 "agent.tau=interval(0.1,1)", "env=glob(*)"])  # fmt: skip
    words.append(word)
    return [word.partition("=")[0]]


@wrong
def sweep_with_a_wrong_job(random: Random, base: Base, words: list[str]) -> list[str]:
    pairs = {"buffer.k": "0,-1", "env.backend": "auto,natve", "agent.gamma": "0.9,1.5", "sweep": "../x",
             "agent.tau": "interval(0.1,1)", "seed": "1,x", "env": "point_reach,bit_flip,nav2d",
             "agent": "ddpg,dqn,nope", "trainer.batch_size": "16,1000000", "threads": "glob(*)"}  # fmt: skip
    key = random.choice(sorted(pairs))
    words += ["-m", f"{key}={pairs[key]}"]
    return [key.partition(".")[0]]


@wrong
def names_of_folders(random: Random, base: Base, words: list[str]) -> list[str]:
    taken = ["sweep=../x", "sweep=/abs", "sweep=..", "sweep='a b'", "sweep=ü", "sweep=''", "sweep=a/b",
             "hydra.run.dir=/proc/x", "hydra.run.dir=", "hydra.run.dir=file/x", f"hydra.run.dir={DONE}",
             "hydra.run.dir=${nope}", "hydra.run.dir=null", "hydra.run.dir=file"]  # fmt: skip
    word = random.choice(taken)
    words.append(word)
    return [word.partition("=")[0]]


@wrong
def hydra_setting(random: Random, base: Base, words: list[str]) -> list[str]:
    taken = ["hydra.bogus=1", "hydra/launcher=nope", "hydra/sweeper=optunna", "hydra.mode=SOMETIMES",
             "hydra.job.chdir=maybe", "hydra.run=3", "hydra.sweeper._target_=nope -m", "hydra=null",
             "hydra/job_logging=nope", "hydra.launcher._target_=os.system -m", "hydra.sweep.dir=null -m",
             "hydra.verbose={a: 1}", "hydra.sweep.subdir=${nope} -m", "hydra.job.name=[1]", "~hydra",
             "hydra.searchpath=3", "hydra.job_logging=null", "hydra.output_subdir=[1]"]  # fmt: skip
    word, *flag = random.choice(taken).split(" -")
    words += [word, *[f"-{f}" for f in flag]]
    return [word.partition("=")[0].strip("~")]


@wrong
def run_again(random: Random, base: Base, words: list[str]) -> list[str]:
    lines = [
        "resume=nope", "rerun=nope", "resume=", "rerun=", "run_dir=x", "trust=[x]", "resume=auto",
        "resume=auto run_dir=", "resume=a rerun=b", f"resume={DONE}", f"resume={DONE} buffer.k=7",
        f"resume={DONE} trainer.total_steps=x", f"rerun={DONE} buffer.kk=1", "resume=.",
        "resume=auto run_dir=file", f"rerun={DONE} -m", f"rerun={DONE} seed=1,2", f"resume={DONE} run_dir=x",
        f"rerun={DONE} agent=dqn", f"rerun={DONE} ~seed", f"rerun={DONE} seed=[", "rerun=file",
        f"rerun={DONE} agent._target_=os.system", f"rerun={DONE} run_dir={DONE}",
        f"rerun={DONE} +agent.x=${{seed}}", f"rerun={DONE} hydra.run.dir=x", f"rerun={DONE} =",
        f"rerun={DONE} seed={'9' * 400}", f"resume={DONE} trainer.total_steps=300 env.num_eval_envs=-1",
        "resume=../../etc run_dir=x", f"rerun={DONE} run_dir=file/x", "rerun=\udcff", "resume=日本",
        f"rerun={DONE} trainer=null", f"rerun={DONE} env.id=nope", f"rerun={DONE} agent.gamma=???",
    ]  # fmt: skip
    words[:] = random.choice(lines).split()
    return [*(w.partition("=")[0].lstrip("+~") for w in words), DONE, "run.dir"]


@wrong
def flag(random: Random, base: Base, words: list[str]) -> list[str]:
    lines = ["--bogus", "--config-name=nope", "--config-dir=nope", "--config-path=x", "--cfg job -m", "-x",
             "--resolve", "--experimental-rerun x", "--cfg nope", "--config-name=../config",
             "--info nope", "--config-dir=file", "--cfg hydra --resolve", "--package"]  # fmt: skip
    chosen = random.choice(lines)
    words += chosen.split()
    return [chosen.split()[0].partition("=")[0], "--"]


@wrong
def path_for_a_name(random: Random, base: Base, words: list[str]) -> list[str]:
    group = random.choice([*GROUPS, "experiment", "hydra/launcher"])
    option = random.choice(["../env/nav2d", "/etc/passwd", "../../x", "..", ".", "nav2d/", "a\nb", "日本",
                                   "./nav2d", "../agent/ddpg"])  # fmt: skip
    words.append(f"{group}={option}")
    return [group]


@wrong
def interpolation(random: Random, base: Base, words: list[str]) -> list[str]:
    key = some_leaf(random, base, lambda leaf: leaf.range is not None).key
    value = random.choice(["${nope}", "${trainer}", "${bad:1}", "${oc.env:NOPE}", "${oc.env:HOME}", "???",
                                  "${hydra:nope}", "${" + key + "}", "${oc.decode:'['}", "${now:%Y}a"])  # fmt: skip
    words.append(f"{key}={value}")
    return [key]


@wrong
def target(random: Random, base: Base, words: list[str]) -> list[str]:
    paths = ["os.system", "builtins.print", "her_exp.trainer.Trainer", "collections.OrderedDict", "''", "3",
             "null", "her_exp.agents.ddpg.DDPGG", "a..b", "日本.x", "her_exp", "[a]", "numpy.ndarray"]  # fmt: skip
    key = random.choice([f"{group}._target_" for group in GROUPS])
    more = ["buffer.strategy={_target_: os.system}", "buffer.strategy={_target_: nope}", "buffer.strategy={}",
            "buffer.strategy={a: 1}", "+agent._args_=[1]", "agent._convert_=nope", "+agent._partial_=true",
            "+agent._recursive_=maybe", "+env.x={_target_: os.system}", "buffer.strategy=[future]"]  # fmt: skip
    paths = [p for p in paths if not (key.startswith("trainer") and p.endswith("Trainer"))]
    word = random.choice([*(f"{key}={path}" for path in paths), *more])
    words.append(word)
    return [word.partition("=")[0].lstrip("+")]


@wrong
def value_for_a_group(random: Random, base: Base, words: list[str]) -> list[str]:
    group = random.choice(GROUPS)
    value = random.choice(["null", "3", "true", "{zzz: 1}", "[a,b]", "1.5", "{_target_: nope}"])
    words.append(f"{group}={value}")
    return [group]


@wrong
def scrambled(random: Random, base: Base, words: list[str]) -> list[str]:
    """A slip of the hand: a sign too many or too few, in any word."""
    at = random.randrange(len(words))
    word = words[at]
    here = random.randrange(len(word) + 1)
    sign = random.choice(
        [*"[]{}()=,:~+'\"$@/.-\\ \n\t#&*?!|%;<>^`", "ß", "🙂", "\x7f", "${", "==", ""]
    )
    words[at] = (
        word[:here] + sign + word[here + (sign == "" and not word[here : here + 1].isdigit()) :]
    )
    return []


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
        line.words += random.choice(EXTRAS)
        return line
    line.answer = "either" if kind in EITHER else "refuse"
    line.names = WRONG[kind](random, base, line.words)
    if kind in VALUES and random.random() < 0.3:
        line.kinds.append(random.choice(VALUES))
        line.names += WRONG[line.kinds[-1]](random, base, line.words)
    return line
