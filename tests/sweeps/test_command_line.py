"""Sweeps and whole command lines, and how questions are answered."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hydra.types import RunMode
from torch import nn

from her_exp.buffers.ring import StepRing
from her_exp.config.compose import composer
from her_exp.sweeps.command_line import preflight
from her_exp.sweeps.plan import jobs
from her_exp.types import UserError
from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli


def expanded(overrides: list[str]) -> list[list[str]]:
    """The overrides of every job."""
    with composer() as hydra:
        return [job.overrides for job in jobs(hydra, hydra.raw(overrides, RunMode.MULTIRUN))]


def test_a_sweep_is_expanded_into_every_job() -> None:
    assert expanded(["buffer.k=0,4", "seed=range(2)", "agent.gamma=0.9"]) == [
        ["buffer.k=0", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=0", "seed=1", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=1", "agent.gamma=0.9"],
    ]
    assert expanded(["env=glob(*nav*)", "buffer.k=choice(1,2)"]) == [
        ["env=nav2d", "buffer.k=1"],
        ["env=nav2d", "buffer.k=2"],
    ]
    assert expanded(["agent.hidden_sizes=[8,8],[16]"]) == [
        ["agent.hidden_sizes=[8,8]"],
        ["agent.hidden_sizes=[16]"],
    ]
    assert expanded(["seed=3"]) == [["seed=3"]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sweepers_own_parameters_are_jobs_too(here: Path) -> None:
    (here / "experiment").mkdir()
    (here / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,-2'}}}"
    )
    with pytest.raises(UserError, match=r"^job 1 \(seed=-2\): seed=-2: must be in"):
        preflight(["--config-dir", str(here), "experiment=mine"])


def test_preflight_names_a_sweep_once(here: Path) -> None:
    plan = preflight(["-m", "buffer.k=0,4"])
    *argv, sweep = plan.argv
    assert argv == ["--multirun", "buffer.k=0,4"]
    assert re.fullmatch(r"sweep=\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", sweep)
    assert plan.sweep_dir == here / "outputs" / "sweeps" / sweep.removeprefix("sweep=")
    assert list(here.iterdir()) == []


def test_preflight_leaves_a_given_name(here: Path) -> None:
    plan = preflight(["buffer.k=0,4", "--multirun", "sweep=mine"])
    assert plan.argv == ["--multirun", "buffer.k=0,4", "sweep=mine"]
    assert plan.sweep_dir == here / "outputs" / "sweeps" / "mine"
    by_mode = preflight(["buffer.k=0,4", "hydra.mode=MULTIRUN", "sweep=mine"])
    assert by_mode.sweep_dir == plan.sweep_dir


def test_the_same_experiment_twice_is_refused(here: Path) -> None:
    with pytest.raises(
        UserError, match=r"^job 0 \(seed=1\) and job 1 \(.*threads.*\) are the same"
    ):
        preflight(["-m", "seed=1,${threads}"])
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("buffer.k=0,4", ""),
        ("buffer.k=0,4 agent.gamma=0.9 experiment=nav2d", "agent.gamma,experiment"),
        ("++buffer.k=0,4 ++agent.gamma=0.9 seed=1,2", "agent.gamma"),
        ("agent.gamma=0.9", ""),  # one job: it is named by all
    ],
)
def test_folders_are_named_by_what_differs(words: str, same: str, here: Path) -> None:
    argv = preflight(["-m", "sweep=mine", *words.split()]).argv
    told = [word for word in argv if "exclude_keys" in word]
    assert told == (
        [f"hydra.job.config.override_dirname.exclude_keys=[sweep,{same}]"] if same else []
    )


def test_preflight_of_one_run(here: Path) -> None:
    assert preflight(["buffer.k=8"])[:2] == (["buffer.k=8"], None)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["-m", "threads=glob(*)"], "threads=glob(*): gives no value"),
        (["-m", "seed=1,2", "hydra/launcher=locl"], "submitit_slurm; did you mean local?"),
        (
            ["-m", "seed=1,2", "hydra/sweeper=optuna", "hydra.sweeper.direction=up"],
            "direction=up: must be max",
        ),
        (["sweep=x"], "sweep=x: names the folder of a sweep; add -m"),
        (["-m", "seed=1,1"], "seed=1: listed twice"),
        (["-m", "seed=1,2", "buffer.k=1", "buffer.k=2"], "buffer.k is given 2 times; give it"),
        (["-m", "seed=1", "hydra/sweeper=optuna"], "nothing to search"),
        (["-m", "sweep=a,b"], "sweep names the folder of all jobs"),
        (["-m", "agent.tau=interval(0,1)"], "cannot be enumerated; list the values"),
        (["buffer.k"], "buffer.k: not an override; write key=value"),
        (["buffer.k=1,2"], "buffer.k=1,2: several values; add -m"),
        (["-m", "hydra.sweeper._target_=nope"], "hydra.sweeper._target_=nope: no plugin of Hydra"),
        (["-m", "hydra.launcher._target_=os.system"], "os.system: no plugin of Hydra; choose"),
        (["-m", "hydra.sweep.subdir=${nope}"], "hydra.sweep.subdir: Interpolation key 'nope'"),
        (["hydra.run.dir="], "hydra.run.dir= names no folder"),
        (
            ["hydra.verbose={a: 1}"],
            "hydra.verbose={'a': 1}: must be true or false or text or a list",
        ),
        (["hydra.run=3"], "hydra.run=3: must be a mapping"),
        (["--config-name=../config"], "--config-name=../config: give a name"),
    ],
)
def test_words_of_a_command_line_are_refused_in_one_line(
    here: Path, argv: list[str], line: str
) -> None:
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        preflight(argv)
    assert "\n" not in str(caught.value)
    assert list(here.iterdir()) == []


def test_what_an_override_refers_to_is_left_to_the_job(here: Path) -> None:
    preflight(["-m", "seed=1,2", "hydra.sweep.subdir=${hydra.job.num}"])
    preflight(["-m", "seed=1,2", "env.name=${.id}"])


def test_a_folder_with_a_run_in_it_is_refused(here: Path) -> None:
    (here / "result.json").write_text("{}")
    with pytest.raises(UserError, match="a run is in"):
        preflight([f"hydra.run.dir={here}"])


def test_a_sweeps_name_is_one_folder(here: Path) -> None:
    with pytest.raises(UserError, match=r"^sweep=\.\./a: must be one safe folder name, .*sweep=a$"):
        preflight(["-m", "sweep=../a", "buffer.k=0,4"])


def test_a_file_in_the_way_is_no_folder(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(
        UserError, match=r"^hydra\.run\.dir: cannot write to .*file/run \(Not a dir"
    ):
        preflight(["hydra.run.dir=file/run"])


def test_only_jobs_that_fail_are_named(here: Path) -> None:
    with pytest.raises(UserError) as caught:
        preflight(["-m", "buffer.k=4,-1", "seed=1,2", "agent.gamma=2"])
    assert str(caught.value).splitlines() == [
        "agent.gamma=2: must be in [0, 1)",
        "job 2 (buffer.k=-1 seed=1) and 1 more: buffer.k=-1: must be >= 0",
    ]


def test_a_group_is_swept_against_another(here: Path) -> None:
    with pytest.raises(UserError, match=r"^job 1 \(env=bit_flip\): agent: DDPG needs Box"):
        preflight(["-m", "env=nav2d,bit_flip"])


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["-h"], ["--version"], ["--info", "all"], ["--hydra-help"], ["-sc", "query=bash"]],
)
def test_questions_pass_as_they_are(argv: list[str]) -> None:
    assert preflight(argv)[:2] == (argv, None)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resolve"], "--cfg job --resolve"),
        (["--cfg", "job", "-m"], "give only one of"),
        (["--cfg", "hydra", "--resolve"], "use --cfg all"),
        (["--cfg", "job", "--resolve", "env=gym"], "env.id is not set"),
        (["--config-path", "x"], "--config-dir"),
        (["--config-dir", "no_such_folder"], "no such folder"),
        (["--config-name", "nope"], "--config-name=nope"),
        (["--experimental-rerun", "x"], "unpickles"),
        (["--bogus"], "--help shows the flags"),
    ],
)
def test_wrong_flags(argv: list[str], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        preflight(argv)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--help"], ["experiment=bit_flip", "env: ant_maze, bit_flip, fetch", "  k: 4"]),
        (["-h"], ["her_exp: a laboratory"]),
        (["--cfg", "job", "--resolve", "buffer.k=8"], ["  k: 8", "name: point_reach"]),
        (["--cfg", "all", "--resolve"], ["dir: outputs/point_reach/ddpg/", "subdir: default_"]),
        (["--cfg", "job", "env=gym"], ["id: ???"]),
    ],
)
def test_questions_are_answered_without_heavy_imports(
    argv: list[str], words: list[str], run_cli: RunCli, tmp_path: Path
) -> None:
    answer = run_cli(*argv, cwd=tmp_path, python=TELL_IMPORTS)
    assert answer.returncode == 0, answer.stderr
    assert heavy_imports(answer.stderr) == (set(), "")
    for word in words:
        assert word in answer.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["buffer.k=8"],
        ["-m", "buffer.k=0,4", "agent=ddpg,sac"],
        ["buffer.k=-1"],
        ["agent=dqn"],
        ["agent=sac", "agent.target_critics=3"],
        ["trainer.learning_starts=6000"],
        ["-m", "env=nav2d,bit_flip"],
    ],
)
def test_neither_networks_nor_a_buffer_are_made_to_check(
    argv: list[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    for cls in (nn.Module, StepRing):
        monkeypatch.setattr(cls, "__init__", lambda self, *_, **__: made.append(self))
    with suppress(UserError):
        preflight(argv)
    assert made == []
