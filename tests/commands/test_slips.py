"""Settings written as for another program, or parted by a shell: the line says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY
from tests.commands.words_kit import Right, Said, remedy


@pytest.mark.parametrize(
    ("words", "write"),
    [
        (["--buffer.k=8"], "buffer.k=8"),
        (["--buffer.k", "8"], "buffer.k=8"),
        (["-buffer.k=8"], "buffer.k=8"),
        (["-buffer.k", "8"], "buffer.k=8"),
        (["\N{EN DASH}buffer.k=8"], "buffer.k=8"),
        (["buffer.k", "8"], "buffer.k=8"),
        (["buffer.k", "=", "8"], "buffer.k=8"),
        (["buffer.k=", "8"], "buffer.k=8"),
        (["buffer.k", "=8"], "buffer.k=8"),
        (["buffer.k:8"], "buffer.k=8"),
        (["buffer.k:", "8"], "buffer.k=8"),
        (["--seed=3"], "seed=3"),
        (["seed", "3"], "seed=3"),
        (["--experiment", "nav2d"], "experiment=nav2d"),
        (["--experiment=nav2d"], "experiment=nav2d"),
        (["--agent.noise_std", "1e-1"], "agent.noise_std=1e-1"),
        (["-m", "--buffer.k=0,4"], "buffer.k=0,4"),
        (["-m", "buffer.k=0", "4", "8"], "buffer.k=0,4,8"),
        (["-m", "buffer.k=0,", "4"], "'buffer.k=0, 4'"),
        (["-m", "buffer.k=0", ",4"], "'buffer.k=0 ,4'"),
        (["-m", "seed=range(1,", "3)"], "'seed=range(1, 3)'"),
        (["-m", "agent.tau=choice(0.1,", "0.2)"], "'agent.tau=choice(0.1, 0.2)'"),
        (["agent.hidden_sizes=[8,", "8]"], "'agent.hidden_sizes=[8, 8]'"),
        (["--agent.hidden_sizes", "[8,", "8]"], "'agent.hidden_sizes=[8, 8]'"),
        (["agent.hidden_sizes=[8,8"], "'agent.hidden_sizes=[8,8]'"),
        (["env.name=a(b"], "'env.name=\"a(b\"'"),
    ],
)  # fmt: skip
def test_the_line_says_what_to_write(
    words: list[str], write: str, said: Said, right: Right
) -> None:
    (line,) = said("trainer.eval_every=200", *words, "trainer.log_every=300")
    given = " ".join(word for word in words if word != "-m")
    assert line.startswith(f"{given}: ")
    assert remedy(line) == write
    assert right(f"-m {write}" if "-m" in words else write)


STRATEGY = """
import sys, types
module = types.ModuleType("my_strategies")
class Soon:
    def __init__(self, steps): pass
    def __call__(self, *args): pass
Soon.__module__ = "my_strategies"
module.Soon = Soon
sys.modules["my_strategies"] = module
"""


@pytest.mark.parametrize(
    "words",
    [
        "buffer.strategy={_target_: my_strategies.Soon, steps: 10}",
        "buffer.strategy = {_target_: my_strategies.Soon, steps: 10}",
        # A shell takes braces without blanks apart by itself.
        "buffer.strategy=_target_:my_strategies.Soon buffer.strategy=steps:10",
    ],
)
def test_a_node_parted_by_the_shell_is_quoted_as_a_whole(
    words: str, said: Said, right: Right
) -> None:
    (line,) = said(*words.split(" "), "seed=3", prelude=STRATEGY)
    assert line.startswith(f"{words}: quote the whole: ")
    gap = " " if ", " in words else ""
    assert remedy(line) == (
        f"'buffer.strategy={{_target_:{gap}my_strategies.Soon,{gap}steps:{gap}10}}'"
    )
    assert right(remedy(line), STRATEGY)


def test_each_slip_is_said_and_what_else_is_wrong(said: Said) -> None:
    assert said("--buffer.k=8", "seed", "=", "-1") == [
        "--buffer.k=8: write buffer.k=8",
        "seed = -1: write seed=-1",
        "seed=-1: must be in [0, 4294967296)",
    ]
    assert said("--batch-size", "64") == [
        "--batch-size 64: write batch_size=64",
        "unknown key batch_size: did you mean trainer.batch_size?",
    ]


@pytest.mark.parametrize(
    "words",
    ["--cfg job", "-c job", "--info all", "-cn config --cfg job", "--config-dir . -c job", "-h"],
)
def test_flags_are_no_slips(words: str, forks: Forks, cwd: Path) -> None:
    assert forks.run(words.split(), cwd) == 0


@pytest.mark.parametrize("name", ["run", "a b/run", "sweeps/buffer.k=0,seed=1_ab12"])
def test_a_folder_without_its_key(name: str, said: Said, right: Right, cwd: Path) -> None:
    (cwd / name).mkdir(parents=True)
    for file in ("config.yaml", "run.json"):
        (cwd / name / file).touch()
    (line,) = said(name)
    quote = "'" if " " in name else ""
    resume, rerun = f"{quote}resume={name}{quote}", f"{quote}rerun={name}{quote}"
    assert line == f"{name}: a run; write {resume} to go on with it, {rerun} to run it again"
    assert right(resume)
    assert right(rerun)
    above = name.partition("/")[0]
    if above != name:
        (line,) = said(above)
        assert line.startswith(f"resume={above}: no run folder itself; give one below it: ")


def test_a_folder_with_blanks_is_quoted_where_a_line_names_it(forks: Forks, cwd: Path) -> None:
    assert forks.run([*TINY, "hydra.run.dir='a b'"], cwd) == 0
    (cwd.parent / "err").unlink()
    assert forks.run(["resume=a b", "agent.gamma=0.5"], cwd) == 1
    line = (cwd.parent / "err").read_text().splitlines()[-1]
    assert line.endswith("To run it anew with this change: 'rerun=a b'")


# --- groups, pluses and values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "write"),
    [
        ("experiment/plappert=fetch_push", "experiment=plappert/fetch_push"),
        ("experiment.her_paper=bit_flip", "experiment=her_paper/bit_flip"),
        ("-m seed=1,2 hydra.launcher=local", "hydra/launcher=local"),
        ("env=gym env.id=her_exp/PointReach-v0 env.max_steps=10", "+env.max_steps=10"),
        ("-m agent=dqn,qrdqn env=bit_flip agent.lr=0.1", "++agent.lr=0.1"),
    ],
)
def test_the_other_way_to_write_it(argv: str, write: str, said: Said, right: Right) -> None:
    *words, _ = argv.split()
    (line,) = said(*argv.split())
    assert remedy(line) == write
    assert right(" ".join([*words, write]))


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("experiment/zoo=x", ["write experiment=zoo/NAME; there are zoo/fetch_pick"]),
        ("experiment=zoo/x", ["experiment=zoo/x: no such experiment; there are zoo/fetch_pick"]),
        ("experiment=zoo", ["experiment=zoo: no such experiment; there are zoo/fetch_pick"]),
        ("experiment=zoo/fetch_reach_tcq", ["did you mean zoo/fetch_reach_tqc?"]),
        ("experiment=fetch_reach_tqc", ["zoo/...; did you mean zoo/fetch_reach_tqc?"]),
        ("env=zoo/x", ["env=zoo/x: no such env; there are ant_maze"]),
        ("env=CartPole-v1", ["; write env=gym env.id=CartPole-v1"]),
        ("hydra/sweeper/sampler=x", ["hydra/sweeper/sampler=x: goes with hydra/sweeper=optuna"]),
        ("hydra/launch=local", ["unknown key hydra/launch: did you mean hydra/launcher?"]),
        ("buffer/k=8", ["unknown key buffer/k: did you mean buffer.k?"]),
        ("+foo.bar=1", ["unknown key foo"]),
    ],
)
def test_options_in_folders(word: str, parts: list[str], said: Said) -> None:
    (line,) = said(word)
    assert all(part in line for part in parts), line


def test_the_class_is_asked_for_a_near_name(said: Said) -> None:
    own = ["env=gym", "env.id=her_exp/PointReach-v0"]
    assert said(*own, "env.max_step=9") == [
        "unknown key env.max_step: did you mean +env.max_steps?"
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("buffer.k", "8"), ("trainer.picture", "true"), ("agent.hidden_sizes", "[8]"), ("seed", "1")],
)
def test_what_the_environment_holds_is_text(key: str, value: str, said: Said, right: Right) -> None:
    prelude = f"import os; os.environ['MINE'] = {value!r}\n"
    (line,) = said(f"{key}=${{oc.env:MINE}}", prelude=prelude)
    assert line.startswith(f"{key}={value}: must be ")
    assert remedy(line) == f"'{key}=\"${{oc.decode:${{oc.env:MINE}}}}\"'"
    assert right(remedy(line), prelude)
    (unquoted,) = said(f"{key}=${{oc.decode:${{oc.env:MINE}}}}", prelude=prelude)
    assert remedy(unquoted) == remedy(line)


def test_what_no_decoding_would_mend_has_no_such_hint(said: Said) -> None:
    prelude = "import os; os.environ['MINE'] = 'many'\n"
    assert said("buffer.k=${oc.env:MINE}", prelude=prelude) == ["buffer.k=many: must be a number"]
    assert said("buffer.k=${oc.env:NO_SUCH}") == [
        "buffer.k: NO_SUCH is not set in the environment; export NO_SUCH=..."
    ]
