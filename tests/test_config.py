"""Composition, validation, sweeps and the command line, within one process."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from her_exp import validate as validation
from her_exp.config import (
    CONF_DIR,
    FOLDER_LENGTH,
    compose,
    composer,
    config_hash,
    hydra_values,
    job_folder,
    path_safe,
    register_resolvers,
    without_hydra,
)
from her_exp.envs.make import GoalTask
from her_exp.hints import keys, nearest, unknown_key
from her_exp.preflight import expand_sweep, preflight
from her_exp.ranges import RANGES, check_ranges, complaint
from her_exp.signatures import arguments, describe, find_class, mismatch
from her_exp.types import UserError
from her_exp.validate import validate


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        validate(compose(list(overrides)))
    return str(caught.value)


# --- the shipped configuration -----------------------------------------------------------------

OPTIONS = {
    group: sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))
    for group in ("env", "buffer", "agent", "trainer", "experiment")
}
#: What an option needs beside it to be a whole experiment.
COMPANY = {
    "env=bit_flip": ["agent=dqn"],
    "agent=dqn": ["env=bit_flip"],
    "env=gym": ["env.id=her_exp/PointReach-v0"],
}


@pytest.mark.parametrize(
    "option", [f"{g}={name}" for g, names in OPTIONS.items() for name in names]
)
def test_every_option_is_valid(option: str) -> None:
    validate(compose([option, *COMPANY.get(option, [])]))


def test_every_number_shipped_has_a_range() -> None:
    free = {"goal_low", "goal_high", "reward_range"}
    for option in [f"{g}={name}" for g, names in OPTIONS.items() for name in names]:
        cfg = compose([option, *COMPANY.get(option, [])])
        for key in keys(cfg):
            value = OmegaConf.select(cfg, key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and not key.startswith("score."):
                assert key.rpartition(".")[2] in RANGES.keys() | free, key


def test_compose_keeps_hydra_on_request() -> None:
    assert "hydra" not in compose()
    assert compose(["buffer.k=8"]).buffer.k == 8
    assert compose(hydra_config=True).hydra.sweep.dir == "outputs/sweeps/None"


# --- names of folders --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("buffer.k=8,seed=1", "buffer.k=8,seed=1"),
        ("her_exp/PointReach-v0", "her_exp_PointReach-v0"),
        ("../../etc", "etc"),
        ("a b\n*?'c'", "a_b_c_"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("..", "_"),
        ("_mine_", "_mine_"),
        ("käse", "k_se"),
        ("", "_"),
        (3, "3"),
    ],
)
def test_path_safe(text: object, safe: str) -> None:
    assert path_safe(text) == safe


def test_job_folder_is_short_and_tells_configs_apart() -> None:
    cfg = compose()
    long = job_folder("k=" + "x" * 500, _root_=cfg)
    assert len(long) == FOLDER_LENGTH
    assert re.fullmatch(r"k=x+_[0-9a-f]{6}", long)
    assert long == job_folder("k=" + "x" * 500, _root_=cfg)
    assert long[-6:] != job_folder("k=", _root_=compose(["seed=1"]))[-6:]
    assert job_folder("", _root_=cfg).startswith("default_")


def test_hash_leaves_the_folders_out() -> None:
    plain = config_hash(compose())
    assert plain == config_hash(compose(["sweep=mine"]))
    assert plain == config_hash(compose(["hydra.run.dir=elsewhere"], hydra_config=True))


def test_job_folder_resolves_where_a_launcher_asks_for_it() -> None:
    register_resolvers()  # again: no harm
    cfg = compose(["buffer.k=8", "sweep=mine", "seed=1"], hydra_config=True)
    with hydra_values(cfg):
        assert cfg.hydra.sweep.dir == "outputs/sweeps/mine"
        assert cfg.hydra.sweep.subdir == f"buffer.k=8,seed=1_{config_hash(cfg)}"
        assert re.fullmatch(r"outputs/point_reach/ddpg/[\d_-]+", cfg.hydra.run.dir)


# --- hints -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "names", "best"),
    [
        ("buffer.kk", ["buffer.k", "buffer.capacity", "seed"], ["buffer.k"]),
        ("k", ["buffer.k", "seed"], ["buffer.k"]),
        ("trainer.gamma", ["agent.gamma", "trainer.stop_at"], ["agent.gamma"]),
        ("agent.lr", ["agent.actor_lr", "agent.critic_lr"], ["agent.actor_lr", "agent.critic_lr"]),
        ("qwertz", ["buffer.k"], []),
    ],
)
def test_nearest(word: str, names: list[str], best: list[str]) -> None:
    assert nearest(word, names) == best


def test_unknown_key_always_has_a_remedy() -> None:
    assert unknown_key("a.kk", ["a.k"]) == "unknown key a.kk: did you mean a.k?"
    assert "--cfg job" in unknown_key("qwertz", ["a.k"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_size=8", "did you mean trainer.batch_size?"),
        ("trainer.gamma=1", "did you mean agent.gamma?"),
        ("~buffer.kk", "did you mean buffer.k?"),
        ("envv=nav2d", "did you mean env?"),
        ("+buffer.k=1", "+buffer.k=1: buffer.k exists; write it without the plus: buffer.k=1"),
        ("+env=nav2d", "write it without the plus: env=nav2d"),
        ("env@x=nav2d", "unknown key env@x: did you mean env?"),
        ("buffer=null", "buffer=null: give one of hindsight"),
        ("~env", "env is not set; give env=..., one of bit_flip, gym, nav2d, point_reach"),
        ("=3", "no key"),
        ("agent='a", "the value cannot be read"),
        ("env.name=${nope}", "env.name: Interpolation key 'nope' not found"),
        ("hydra.sweeep.dir=x", "did you mean hydra.sweep.dir?"),
        ("hydra.job.num=x", "hydra.job.num=x: Value 'x'"),
    ],
)
def test_composition_errors_are_one_line(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "mine.yaml").write_text("a: [1")
    with composer(extra_dir=str(tmp_path)) as hydra, pytest.raises(UserError, match=r"mine\.yaml"):
        hydra.raw(["agent=mine"])


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("buffer.capacity=null", "buffer.capacity=null: must be an integer"),
        ("agent.normalize=1", "agent.normalize=1: must be true or false"),
        ("env.id=3", "env.id=3: must be text"),
        ("agent.gamma=1", "agent.gamma=1: must be in [0, 1)"),
        ("agent.tau=0", "agent.tau=0: must be in (0, 1]"),
        ("agent.grad_clip_norm=0", "agent.grad_clip_norm=0: must be > 0"),
        ("agent.hidden_sizes=64", "agent.hidden_sizes=64: must be a list [...] of integers"),
        ("agent.hidden_sizes=[64,0]", "agent.hidden_sizes=[64, 0]: each must be >= 1"),
        ("agent.hidden_sizes=[64.0]", "must be a list [...] of integers"),
        ("env.backend=natve", "did you mean native?"),
        ("env.dt=0", "env.dt=0: must be > 0"),
        ("env.reward_range=[1]", "env.reward_range"),
        ("device=gpu", "device=gpu: must be cpu, cuda, cuda:N or auto"),
        ("threads=two", "threads=two: must be an integer"),
        ("+agent.seed=3", "agent.seed=3: the run sets it; leave it out"),
        ("++fooo=1", "unknown key fooo"),
        ("buffer.capacity=15 trainer.batch_size=8", "at least 2 * env.num_envs = 16"),
        ("env=nav2d env.goal_high=9", "goal_high=9: must be <= size"),
        ("agent._target_=DDPG", "agent._target_=DDPG: no module DDPG"),
        (
            "agent._target_=her_exp.agents.ddgp.DDPG",
            "her_exp.agents has no ddgp; did you mean ddpg",
        ),
        ("agent._target_=her_exp.agents.ddpg.DDGP", "did you mean DDPG?"),
        ("agent._target_=collections.OrderedDict", "is no agent: it lacks act"),
        ("buffer.strategy={_target_: her_exp.trainer.Trainr}", "buffer.strategy._target_"),
        ("env=gym env.id=CartPole-v1", "no goal env"),
        ("agent=dqn", "take agent=ddpg"),
        ("~agent._target_", "agent._target_ is not set; choose agent="),
    ],
)
def test_wrong_values_are_refused_in_one_line(overrides: str, line: str) -> None:
    said = refusal(*re.split(r" (?=\S+=)", overrides))
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "overrides",
    [
        "buffer.k=0",
        "agent.grad_clip_norm=1",
        "trainer.stop_at=1",
        "trainer.eval_every=null",
        "device=auto",
        "trainer.learning_starts=6000 trainer.updates_per_step=0",
        "env=gym env.id=her_exp/PointReach-v0 +env.max_steps=20 +env.max_episode_steps=9",
        "~agent.gamma",
        "sweep=2026-01-01_mine",
        "sweep=3",
    ],
)
def test_right_values_pass(overrides: str) -> None:
    validate(compose(overrides.split()))


def test_all_problems_are_said() -> None:
    lines = refusal("buffer.k=-1", "agent.gamma=2", "+trainer.nope=1", "seed=-1").splitlines()
    assert len(lines) == 4


def test_the_env_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = GoalTask.make_single

    def count(task: GoalTask, render_mode: str | None = None) -> Any:
        made.append(task.id)
        return make(task, render_mode)

    monkeypatch.setattr(GoalTask, "make_single", count)
    monkeypatch.setattr(validation, "_spaces", {})
    for k in range(3):
        validate(compose([f"buffer.k={k}"]))
    assert made == ["her_exp/PointReach-v0"]
    validate(compose(["env.max_steps=7"]))
    assert len(made) == 2


MINE = """
from her_exp.agents.ddpg import DDPG

class Mine(DDPG):
    def __init__(self, flux: int, mode: str = "a", **kwargs):
        super().__init__(**kwargs)

class Closed(DDPG):
    def __init__(self, flux: int, *, spaces, reward_range, seed, device):
        super().__init__(spaces=spaces, reward_range=reward_range, seed=seed, device=device)

class Other(DDPG):
    @staticmethod
    def check_spaces(spaces):
        return "Mine needs a mountain"

raise_me = 1
"""


def test_a_class_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_package.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = "agent._target_=my_package.Mine"
    assert refusal(mine) == "agent.flux is not set and Mine needs it; give +agent.flux=..."
    assert "agent.flux=x: must be an integer" in refusal(mine, "+agent.flux=x")
    assert "unknown key agent.mod: did you mean agent.mode?" in refusal(
        mine, "+agent.flux=1", "+agent.mod=b"
    )
    assert "unknown key agent.gamma" in refusal("agent._target_=my_package.Closed", "+agent.flux=1")
    assert refusal("agent._target_=my_package.Other") == "agent: Mine needs a mountain"
    assert "must be a class, this is a int" in refusal("agent._target_=my_package.raise_me")
    validate(compose([mine, "+agent.flux=1", "agent.gamma=0.5"]))


# --- ranges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("k", [0, 4, 0.5], [-1, float("nan"), float("inf"), True, "4"]),
        ("gamma", [0, 0.99], [1, -0.1]),
        ("tau", [1, 1e-9], [0, 1.1]),
        ("seed", [0, 2**32 - 1], [-1, 2**32]),
        ("hidden_sizes", [[], [1, 2], (3,)], [[0], [1, "a"], 0]),
        ("stop_at", [None, 1.0], [0, 1.01]),
        ("capacity", [2], [1]),
        ("device", ["cpu", "cuda", "cuda:1", "auto"], ["gpu", "cuda:", 3, None]),
    ],
)
def test_ranges(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check_ranges("Someone", **{name: value})
    for value in bad:
        with pytest.raises(ValueError, match=f"Someone: {name}="):
            check_ranges("Someone", **{name: value})


def test_every_range_has_words() -> None:
    for name, rule in RANGES.items():
        assert complaint(name, rule.low - 1) == f"must be {rule.text}"
    with pytest.raises(KeyError, match="kk"):
        check_ranges("Someone", kk=1)


# --- signatures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [1, -1], [1.0, True, "1", None, [1]]),
        (float, [1, 1.5], [True, "1", None]),
        (bool, [True], [1, "true"]),
        (str, ["a"], [1, None]),
        (int | None, [1, None], ["a", 1.5]),
        (Sequence[int], [[1], []], [["a"], 1, "ab", [1.5]]),
        (list[str], [["a"]], [[1]]),
        (Iterable[float], [[1, 2.5]], [3]),
        (tuple[float, float], [[1, 2]], [[1], [1, 2, 3]]),
        (tuple[int, ...], [[1, 2, 3]], [["a"]]),
        (Literal["a", "b"], ["a"], ["c", 1]),
        (dict[str, int], [{"a": 1}], [[1]]),
        (Path, ["a/b"], [3]),
        (Any, [1, "a", None], []),
        (UserError, [{"_target_": "x"}, "a"], []),
    ],
)
def test_types(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert mismatch(value, annotation) is None, value
    for value in bad:
        assert mismatch(value, annotation) is not None, value


def test_type_messages() -> None:
    assert mismatch(1e5, int) == "must be an integer; write 100000"
    assert mismatch("futur", Literal["past", "future"]) == (
        "must be one of past, future; did you mean future?"
    )
    assert describe(int | None) == "an integer or null"
    assert describe(tuple[float, float] | None) == "a list of 2 values or null"


class Base:
    def __init__(self, depth: int, width: int = 3):
        pass


class Child(Base):
    def __init__(self, name: str, *, size: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)


class Hungry:
    def __init__(self, name: str, **kwargs: Any):
        pass


def test_arguments_follow_kwargs_to_the_bases() -> None:
    child = arguments(Child)
    assert child.types == {"name": str, "size": float, "depth": int, "width": int}
    assert child.required == {"name"}
    assert not child.open
    assert arguments(Hungry).open
    assert not arguments(Base).open
    assert arguments(inspect.signature).types["follow_wrapped"] is Any


def test_find_class() -> None:
    assert find_class("x", "pathlib.Path") is Path
    for path, words in {
        "pathlib": "must be a class, this is a module",
        "pathlib.Pat": "pathlib has no Pat; did you mean Path?",
        "a b": "must be package.module.Class",
    }.items():
        with pytest.raises(UserError, match=re.escape(f"x={path}: {words}")):
            find_class("x", path)


# --- sweeps and the command line ---------------------------------------------------------------


def test_expand_sweep_gives_every_job() -> None:
    assert expand_sweep(["buffer.k=0,4", "seed=range(2)", "agent.gamma=0.9"]) == [
        ["buffer.k=0", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=0", "seed=1", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=1", "agent.gamma=0.9"],
    ]
    assert expand_sweep(["env=glob(*nav*)", "buffer.k=choice(1,2)"]) == [
        ["env=nav2d", "buffer.k=1"],
        ["env=nav2d", "buffer.k=2"],
    ]
    assert expand_sweep(["agent.hidden_sizes=[8,8],[16]"]) == [
        ["agent.hidden_sizes=[8,8]"],
        ["agent.hidden_sizes=[16]"],
    ]
    assert expand_sweep(["seed=3"]) == [["seed=3"]]


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


def test_preflight_of_one_run(here: Path) -> None:
    assert preflight(["buffer.k=8"]) == (["buffer.k=8"], None)
    assert list(here.iterdir()) == []


def test_a_folder_with_a_run_in_it_is_refused(here: Path) -> None:
    (here / "result.json").write_text("{}")
    with pytest.raises(UserError, match="a run is in"):
        preflight([f"hydra.run.dir={here}"])


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
    assert preflight(argv) == (argv, None)


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


ASK = """
import sys, time
sys.argv[1:] = {argv!r}
import her_exp.train
try:
    her_exp.train.main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert "torch" not in sys.modules
assert time.process_time() < 1.5, time.process_time()
"""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--help"], ["experiment=<name>", "env: bit_flip, gym, nav2d, point_reach", "  k: 4"]),
        (["-h"], ["her_exp: a laboratory"]),
        (["--cfg", "job", "--resolve", "buffer.k=8"], ["  k: 8", "name: point_reach"]),
        (["--cfg", "all", "--resolve"], ["dir: outputs/point_reach/ddpg/", "subdir: default_"]),
        (["--cfg", "job", "env=gym"], ["id: ???"]),
    ],
)
def test_questions_are_answered_fast_and_without_torch(
    argv: list[str], words: list[str], tmp_path: Path
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", ASK.format(argv=argv)], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    for word in words:
        assert word in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_hydra_leaves_the_original_alone() -> None:
    cfg = compose(hydra_config=True)
    assert "hydra" not in without_hydra(cfg)
    assert "hydra" in cfg
