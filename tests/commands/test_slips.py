"""Settings written as for another program, or parted by a shell: the line says what to write."""

from __future__ import annotations

import re

import pytest

from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY
from tests.commands.words_kit import Right, remedy, shell_words

RESIDUAL = "_target_:her_exp.agents.residual.Residual"
NODE = "{_target_: her_exp.agents.residual.Residual, blocks: 1}"
#: What was written, with a blank between the words as a shell hands them on: what to write.
WRITE = {
    "--buffer.k=8": "buffer.k=8",
    "--buffer.k 8": "buffer.k=8",
    "\N{EN DASH}buffer.k=8": "buffer.k=8",
    "buffer.k 8": "buffer.k=8",
    "buffer.k = 8": "buffer.k=8",
    "buffer.k= 8": "buffer.k=8",
    "buffer.k: 8": "buffer.k=8",
    "--experiment nav2d": "experiment=nav2d",
    "-m --buffer.k=0,4": "buffer.k=0,4",
    "-m buffer.k=0 4 8": "buffer.k=0,4,8",
    "-m buffer.k=0 ,4": "'buffer.k=0 ,4'",
    "-m seed=range(1, 3)": "'seed=range(1, 3)'",
    "--agent.hidden_sizes [8, 8]": "'agent.hidden_sizes=[8, 8]'",
    "agent.hidden_sizes=[8,8": "'agent.hidden_sizes=[8,8]'",
    # A mapping, parted at its blanks; a shell takes braces without blanks apart by itself.
    f"agent.network = {NODE}": f"'agent.network={NODE}'",
    f"agent.network={RESIDUAL} agent.network=blocks:1": (
        f"'agent.network={{{RESIDUAL},blocks:1}}'"
    ),
    "env.name=a(b": "'env.name=\"a(b\"'",
}


@pytest.mark.parametrize("words", WRITE)
def test_the_line_says_what_to_write(words: str, sh: Shell, right: Right) -> None:
    (line,) = sh.refused("trainer.eval_every=200", *words.split(), "trainer.log_every=300")
    assert line.startswith(f"{words.removeprefix('-m ')}: ")
    assert remedy(line) == WRITE[words]
    assert right(f"-m {WRITE[words]}" if "-m" in words else WRITE[words])


def test_each_slip_is_said_and_what_else_is_wrong(sh: Shell) -> None:
    assert sh.refused("--buffer.k=8", "seed", "=", "-1") == [
        "--buffer.k=8: write buffer.k=8",
        "seed = -1: write seed=-1",
        "seed=-1: must be in [0, 4294967296)",
    ]
    assert sh.refused("--batch-size", "64") == [
        "--batch-size 64: write batch_size=64",
        "unknown key batch_size: did you mean trainer.batch_size?",
    ]


@pytest.mark.parametrize("words", ["-cn config --cfg job", "--config-dir . -c job"])
def test_flags_are_no_slips(words: str, sh: Shell) -> None:
    sh.done(*words.split())


@pytest.mark.parametrize("name", ["a b/run", "sweeps/buffer.k=0,seed=1_ab12"])
def test_a_folder_without_its_key(name: str, sh: Shell, right: Right) -> None:
    (sh.cwd / name).mkdir(parents=True)
    for file in ("config.yaml", "run.json"):
        (sh.cwd / name / file).touch()
    (line,) = sh.refused(name)
    quote = "'" if " " in name else ""
    resume, rerun = f"{quote}resume={name}{quote}", f"{quote}rerun={name}{quote}"
    assert line == f"{name}: a run; write {resume} to go on with it, {rerun} to run it again"
    assert right(resume)
    assert right(rerun)
    above = name.partition("/")[0]
    (line,) = sh.refused(above)
    assert line.startswith(f"resume={above}: no run folder itself; give one below it: ")


def test_a_folder_with_blanks_is_quoted_where_a_line_names_it(sh: Shell) -> None:
    sh.done(*TINY, "hydra.run.dir='a b'")
    assert sh("resume=a b", "agent.gamma=0.5") == 1
    assert sh.told().endswith("To run it anew with this change: 'rerun=a b' agent.gamma=0.5\n")


#: Several values: the end of the line, which may be pasted.
SEVERAL = {
    "agent.hidden_sizes=8,16": "several values; write one list: 'agent.hidden_sizes=[8,16]'",
    "-m sweep=g 'seed=0 1'": "to run each: -m seed=0,1",
    "-m 'agent=sac td3'": "agent=sac td3: no such agent; to run each: -m agent=sac,td3",
}


@pytest.mark.parametrize("words", SEVERAL)
def test_several_values_where_one_is_taken(words: str, sh: Shell, right: Right) -> None:
    (line,) = sh.refused(*shell_words(words))
    assert line.endswith(SEVERAL[words])
    pasted = re.search(r"(?:each|list): (.*)", line)
    assert not pasted or right(pasted[1])


@pytest.mark.parametrize(
    ("argv", "write"),
    [
        ("experiment/plappert=fetch_push", "experiment=plappert/fetch_push"),
        ("-m seed=1,2 launcher=local", "hydra/launcher=local"),
        ("env=gym env.id=her_exp/PointReach-v0 env.max_steps=10", "+env.max_steps=10"),
        ("-m agent=dqn,qrdqn env=bit_flip agent.lr=0.1", "++agent.lr=0.1"),
    ],
)
def test_the_other_way_to_write_it(argv: str, write: str, sh: Shell, right: Right) -> None:
    *words, _ = argv.split()
    (line,) = sh.refused(*argv.split())
    assert remedy(line) == write
    assert right(" ".join([*words, write]))


OPTIONS = {
    "experiment/zoo=x": "write experiment=zoo/NAME; there are zoo/fetch_pick",
    "experiment=zoo/x": "experiment=zoo/x: no such experiment; there are zoo/fetch_pick",
    "experiment=fetch_reach_tqc": "zoo/...; did you mean zoo/fetch_reach_tqc?",
    "env=CartPole-v1": "; write env=gym env.id=CartPole-v1",
    "hydra/launch=local": "unknown key hydra/launch: did you mean hydra/launcher?",
    "job.chdir=true": "unknown key job.chdir: did you mean hydra.job.chdir?",
    "buffer/k=8": "unknown key buffer/k: did you mean buffer.k?",
    # The class is asked for a near name.
    "env=gym env.id=her_exp/PointReach-v0 env.max_step=9": "did you mean +env.max_steps?",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_options_in_folders(words: str, sh: Shell) -> None:
    (line,) = sh.refused(*words.split())
    assert OPTIONS[words] in line


@pytest.mark.parametrize(("key", "value"), [("buffer.k", "8"), ("agent.hidden_sizes", "[8]")])
def test_what_the_environment_holds_is_text(key: str, value: str, sh: Shell, right: Right) -> None:
    prelude = f"import os; os.environ['MINE'] = {value!r}\n"
    (line,) = sh.refused(f"{key}=${{oc.env:MINE}}", prelude=prelude)
    assert line.startswith(f"{key}={value}: must be ")
    assert remedy(line) == f"'{key}=\"${{oc.decode:${{oc.env:MINE}}}}\"'"
    assert right(remedy(line), prelude)
    (unquoted,) = sh.refused(f"{key}=${{oc.decode:${{oc.env:MINE}}}}", prelude=prelude)
    assert remedy(unquoted) == remedy(line)


def test_what_no_decoding_would_mend_has_no_such_hint(sh: Shell) -> None:
    prelude = "import os; os.environ['MINE'] = 'many'\n"
    assert sh.refused("buffer.k=${oc.env:MINE}", prelude=prelude) == [
        "buffer.k=many: must be a number"
    ]
    assert sh.refused("buffer.k=${oc.env:NO_SUCH}") == [
        "buffer.k: NO_SUCH is not set in the environment; export NO_SUCH=..."
    ]
