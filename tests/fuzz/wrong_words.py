"""What can be wrong with a command line, by kind: words to choose from, or a function that makes them.

A kind gives words that are added to a right line, and names of which the refusal must tell one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from her_exp.config.signatures import mismatch
from tests.fuzz.config_tree import GROUPS, Base, Leaf, options

Wrong = tuple[list[str], list[str]]

#: Choices; `&` stands between the words of one. KEY is the key of a number, GROUP a group, `done` a finished
#: run, `file` a file.
WORDS = {
    "grammar": """
        KEY=[1 KEY=] KEY='a KEY=\" KEY={ KEY=(1 KEY=a=b KEY KEY==1 KEY=${ KEY=1, KEY=a:b,c:{ =5 = ~ + 🙂
        \udcff=1
        """,
    "empty": """
        KEY= KEY='' GROUP= GROUP='' env.id= env.id='' buffer.strategy= device='' env.imports=''
        """,
    "deletion": """
        ~GROUP ~agent._target_ ~seed ~threads ~device ~agent.gamma=-3 ~env.id ~nothing ~hydra.nothing
        """,
    "addition": "+KEY=1 +agent.spaces=1 +trainer.env=1 +cool=1 +a.b.c=1",
    "several_values": """
        buffer.k=1,2 seed=range(3) env=nav2d,gym seed=choice(1,2) agent.tau=interval(0,1) env=glob(*)
        """,
    "sweep_with_a_wrong_job": """
        -m&buffer.k=0,-1 -m&env.backend=auto,natve -m&agent.gamma=0.9,1.5 -m&agent.tau=interval(0.1,1)
        -m&seed=1,x -m&env=point_reach,bit_flip,nav2d -m&sweep=../x -m&agent=ddpg,dqn,nope
        -m&trainer.batch_size=16,1000000 -m&threads=glob(*)
        """,
    "names_of_folders": """
        sweep=2026 sweep=../x sweep=/abs sweep=.. sweep=ü sweep='' sweep=a/b hydra.run.dir=null
        hydra.run.dir=/proc/x hydra.run.dir= hydra.run.dir=file/x hydra.run.dir=done hydra.run.dir=${nope}
        hydra.run.dir=file
        """,
    "hydra_setting": """
        hydra.bogus=1 hydra/launcher=nope hydra/sweeper=optunna hydra.mode=SOMETIMES hydra.job.chdir=maybe
        hydra.run=3 -m&hydra.sweeper._target_=nope hydra=null hydra/job_logging=nope
        -m&hydra.launcher._target_=os.system -m&hydra.sweep.dir=null hydra.verbose={a:1}
        -m&hydra.sweep.subdir=${nope} hydra.job.name=[1] ~hydra hydra.searchpath=3 hydra.job_logging=null
        hydra.output_subdir=[1]
        """,
    "run_again": """
        resume=nope rerun=nope resume= rerun= run_dir=x trust=[x] resume=auto resume=auto&run_dir=
        resume=a&rerun=b resume=done resume=done&buffer.k=7 rerun=file resume=.
        resume=done&trainer.total_steps=x rerun=done&buffer.kk=1 resume=auto&run_dir=file rerun=done&-m
        rerun=done&seed=1,2 resume=done&run_dir=x rerun=done&agent=dqn rerun=done&~seed rerun=done&seed=[
        rerun=done&agent._target_=os.system rerun=done&run_dir=done rerun=done&+agent.x=${seed}
        rerun=done&hydra.run.dir=x rerun=done&= rerun=done&seed=9e99 resume=../../etc&run_dir=x
        resume=done&trainer.total_steps=300&env.num_eval_envs=-1 rerun=done&run_dir=file/x rerun=\udcff
        resume=日本 rerun=done&trainer=null rerun=done&env.id=nope rerun=done&agent.gamma=???
        """,
    "flag": """
        --bogus --config-name=nope --config-dir=nope --config-path=x --cfg&job&-m -x --resolve
        --experimental-rerun&x --cfg&nope --config-name=../config --info&nope --config-dir=file
        --cfg&hydra&--resolve --package
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
    "sweep_with_a_wrong_job": ["env", "agent"],
    "run_again": ["done", "run.dir"],
    "flag": ["--"],
}


def key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def chosen(kind: str) -> Callable[[Random, Base], Wrong]:
    """A kind whose words are in the table."""

    def choose(random: Random, base: Base) -> Wrong:
        key, group = some_number(random, base).key, random.choice(GROUPS)
        text = random.choice(WORDS[kind].split()).replace("KEY", key).replace("GROUP", group)
        words = text.split("&")
        names = [word if kind == "grammar" else key_of(word) for word in words if word != "-m"]
        return words, [*names, *ALSO.get(kind, [])]

    return choose


def some_leaf(random: Random, base: Base, fits: Callable[[Leaf], bool]) -> Leaf:
    return random.choice([leaf for leaf in base.leaves.values() if fits(leaf)])


def some_number(random: Random, base: Base) -> Leaf:
    return some_leaf(random, base, lambda leaf: leaf.range is not None)


def typo(random: Random, word: str, known: Iterable[str]) -> str:
    """Draw a misspelling of a word that is no other known word."""
    at = random.randrange(len(word))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    spelt = [before + after, before + 2 * letter + after, f"{before}x{after}", f"{word}_of_mine"]
    spelt.append(before + after[:1] + letter + after[1:])
    taken = {*known, word, ""}
    return random.choice([s for s in spelt if s not in taken and s.isidentifier()])


#: What people write into the wrong place: text, and what it is read as.
STRANGE: dict[str, Any] = {
    "abc": "abc", "''": "", '"1"': "1", "1.5": 1.5, "true": True, "null": None, "[1,2]": [1, 2],
    "[[]]": [[]], "{a: 1}": {"a": 1}, "[null]": [None], "½": "½", "٣": "٣", "1e400": math.inf,
}  # fmt: skip


def wrong_type(random: Random, base: Base) -> Wrong:
    def strange(leaf: Leaf) -> list[str]:
        return [t for t, v in STRANGE.items() if mismatch(v, leaf.takes) is not None]

    leaf = some_leaf(random, base, lambda leaf: bool(strange(leaf)))
    return [f"{leaf.key}={random.choice(strange(leaf))}"], [leaf.key]


def out_of_range(random: Random, base: Base) -> Wrong:
    leaf = some_number(random, base)
    low, high = leaf.range.low, leaf.range.high
    near = [low - 1, low, -low - 7, high, high + 1, math.nan, math.inf, -math.inf, -0.5, -1e300]
    outside = random.choice([float(v) for v in near if not leaf.range.holds(v)])
    value = int(outside) if outside.is_integer() and not leaf.takes_floats else outside
    value = random.choice([value, value, int("9" * random.choice([400, 4000]))])  # no number at all
    return [f"{leaf.key}={[value] if isinstance(leaf.value, list) else value}"], [leaf.key]


def unknown_key(random: Random, base: Base) -> Wrong:
    group, _, name = some_leaf(random, base, lambda leaf: "." in leaf.key).key.partition(".")
    spelt = f"{group}.{typo(random, name, [k.partition('.')[2] for k in base.leaves])}"
    return [random.choice([f"{spelt}=1", f"+{spelt}=1", f"++{spelt}=1", f"~{spelt}"])], [spelt]


def misspelt_group(random: Random, base: Base) -> Wrong:
    group = random.choice([*GROUPS, "experiment"])
    option = random.choice(options(group))
    if random.random() < 0.5:
        spelt = typo(random, group, GROUPS)
        return [f"{spelt}={option}"], [spelt]
    word = f"{group}={typo(random, option, options(group))}"
    return [word], [word]


def scrambled(random: Random, word: str) -> str:
    """A slip of the hand: a sign too many or too few."""
    here = random.randrange(len(word) + 1)
    # No digits: of these a slip makes hours of work.
    sign = random.choice([*"[]{}()=,:~+'\"$@/.-\\ \n\t#&*?!|%;<>^`ß🙂\x7f", "${", "==", ""])
    gone = not sign and not word[here : here + 1].isdigit()
    return word[:here] + sign + word[here + gone :]


#: Kinds of single values, which go together; all kinds but `scrambled`, which may turn out right.
VALUES = {"wrong_type": wrong_type, "out_of_range": out_of_range, "unknown_key": unknown_key}
WRONG: dict[str, Callable[[Random, Base], Wrong]] = VALUES | {"misspelt_group": misspelt_group}
WRONG |= {kind: chosen(kind) for kind in WORDS}
