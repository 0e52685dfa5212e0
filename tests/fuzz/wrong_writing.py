"""Words of a command line that are written wrongly: grammar, sweeps, folders, flags, Hydra's own."""

from __future__ import annotations

from random import Random

from her_exp.config.signatures import mismatch
from tests.fuzz.config_tree import GROUPS, Base
from tests.fuzz.wrong_words import DONE, some_leaf, wrong


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
    all_of = "buffer.k=1,2 seed=range(3) env=nav2d,gym seed=choice(1,2) agent.tau=interval(0,1) env=glob(*)"
    word = random.choice(all_of.split())
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
    taken = ["sweep=2026", "sweep=../x", "sweep=/abs", "sweep=..", "sweep='a b'", "sweep=ü", "sweep=''",
             "sweep=a/b", "hydra.run.dir=null", "hydra.run.dir=/proc/x", "hydra.run.dir=",
             "hydra.run.dir=file/x", f"hydra.run.dir={DONE}",
             "hydra.run.dir=${nope}", "hydra.run.dir=file"]  # fmt: skip
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
    paths = "../env/nav2d /etc/passwd ../../x .. . nav2d/ ./nav2d ../agent/ddpg 日本"
    option = random.choice([*paths.split(), "a\nb"])
    words.append(f"{group}={option}")
    return [group]


@wrong
def interpolation(random: Random, base: Base, words: list[str]) -> list[str]:
    key = some_leaf(random, base, lambda leaf: leaf.range is not None).key
    bad = "${nope} ${trainer} ${bad:1} ${oc.env:NOPE} ${oc.env:HOME} ??? ${hydra:nope} ${now:%Y}a"
    value = random.choice([*bad.split(), "${" + key + "}", "${oc.decode:'['}"])
    words.append(f"{key}={value}")
    return [key]


@wrong
def target(random: Random, base: Base, words: list[str]) -> list[str]:
    paths = ["os.system", "builtins.print", "her_exp.training.trainer.Trainer", "her_exp.agents.ddpg.DDPGG",
             "''", "3", "null", "a..b", "日本.x", "her_exp", "[a]", "numpy.ndarray"]  # fmt: skip
    key = random.choice([f"{group}._target_" for group in GROUPS])
    more = ["buffer.strategy={_target_: os.system}", "buffer.strategy={_target_: nope}",
            "buffer.strategy={}", "buffer.strategy={a: 1}", "buffer.strategy=[future]",
            "agent._convert_=nope", "+agent._args_=[1]", "+agent._partial_=true",
            "+agent._recursive_=maybe", "+env.x={_target_: os.system}"]  # fmt: skip
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
    # No digits: of these a slip makes hours of work.
    sign = random.choice([*"[]{}()=,:~+'\"$@/.-\\ \n\t#&*?!|%;<>^`ß🙂\x7f", "${", "==", ""])
    gone = not sign and not word[here : here + 1].isdigit()
    words[at] = word[:here] + sign + word[here + gone :]
    return []
