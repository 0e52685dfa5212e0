"""Values against ranges, fields against one another, and what is said of all that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium as gym
import pytest

from her_exp.buffers.goals import STRATEGIES
from her_exp.config.blame import blame_experiment
from her_exp.config.compose import compose, composer
from her_exp.config.validate import validate
from her_exp.types import UserError
from tests.envs.goal_walk import Walk


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        validate(compose(list(overrides)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("agent=sac agent.entropy=atuo", "must be a number or one of auto; did you mean auto?"),
        ("trainer.total_steps=1e5", "must be an integer; write 100000"),
        ("agent._target_=her_exp.agents", "must be a class, this is a module"),
        ("agent=tqc agent.drop_quantiles=25", "must be less than agent.n_quantiles=25"),
        ("seed=0..3", "seed=0..3: must be an integer; to run each: -m seed=0,1,2,3"),
        ("buffer.strategy=futur", "buffer.strategy=futur: must be one of future"),
        ("agent=crl", "these alone; buffer.k=4 keeps others, give buffer.k=inf"),
        ("agent=crl buffer.k=inf buffer.strategy=random", "random gives others, take"),
        ("agent=gcbc buffer.k=inf buffer.n_step=3", "never reads; give buffer.n_step=1"),
        ("agent.cloning_weight=1", "and there are none; give buffer.demonst"),
        (
            "buffer.strategy={_target_: her_exp.buffers.goals.Geometric, gamma: 1.0}",
            "buffer.strategy.gamma=1.0: must be in (0, 1)",
        ),
        ("buffer.capacity=99 trainer.batch_size=100", "at most buffer.capacity=99"),
        ("agent.lr_milestones=null", "agent.lr_milestones=null: must be a list [...] of integers"),
        ("agent.hidden_sizes=64", "agent.hidden_sizes=64: must be a list [...] of integers"),
        ("+agent.seed=3", "agent.seed=3: the run sets it; leave it out"),
        ("buffer.capacity=15 trainer.batch_size=8", "at least 2 * env.num_envs = 16"),
        ("agent._target_=her_exp.agents.ddpg.DDGP", "did you mean DDPG?"),
        ("agent._target_=collections.OrderedDict", "is no agent: it lacks act"),
        ("~seed", "seed is not set; give seed=..."),
        ("seed=" + "9" * 5000, "9... (5005 characters): a number must be below 2**63"),
        ("agent.actor_lr=inf", "agent.actor_lr=inf: must be a finite number, > 0"),
        ("buffer.capacity=1000000000000", "capacity=1000000000000: takes 64,000 GB at least"),
        ("agent.hidden_sizes=[2000000,2000000]", "sizes=[2000000,2000000]: takes 64,000 GB at l"),
        ("agent._convert_=nope", "agent._convert_=nope: must be one of none, partial, object, all"),
        ("+agent._partial_=true", "agent._partial_: has no meaning here; leave it out"),
        ("+agent.cool_steps=3", "unknown key agent.cool_steps: agent takes action_l2, "),
        ("env=gym env.id=PointReach-v7", "did you mean her_exp/PointReach-v0? A package"),
        ("envv=nav2d", "did you mean env?"),
        ("+env=nav2d", "write it without the plus: env=nav2d"),
        ("buffer=null", "buffer=null: give one of hindsight"),
        ("env.name=${nope}", "env.name: Interpolation key 'nope' not found"),
    ],
)
def test_wrong_values_are_refused_in_one_line(overrides: str, line: str) -> None:
    said = refusal(*re.split(r" (?=\S+=)", overrides))
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "overrides",
    [
        "buffer.k=inf",
        "agent=crl buffer.k=inf buffer.strategy={_target_:her_exp.buffers.goals.Geometric,gamma:0.9}",
        "trainer.learning_starts=6000 trainer.updates_per_step=0",
        "env=gym env.id=her_exp/PointReach-v0 env.backend=sync +env.max_steps=20 +env.max_episode_steps=9",
        "~agent.gamma",
        "sweep=2026-01-01_mine",
        *(f"buffer.strategy={name}" for name in STRATEGIES),
    ],
)
def test_right_values_pass(overrides: str) -> None:
    validate(compose(overrides.split()))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "mine.yaml").write_text("a: [1")
    with composer(extra_dir=str(tmp_path)) as hydra, pytest.raises(UserError, match=r"mine\.yaml"):
        hydra.raw(["agent=mine"])


def test_all_problems_are_said() -> None:
    lines = refusal("buffer.k=-1", "agent.gamma=2", "+trainer.nope=1", "seed=-1").splitlines()
    assert len(lines) == 4


class Counted(Walk):
    made = 0

    def __init__(self, more: int = 0):
        Counted.made += 1


gym.register("counted/Walk-v0", Counted, max_episode_steps=10, disable_env_checker=True)


def test_the_env_is_made_once() -> None:
    words = ["env=gym", "env.id=counted/Walk-v0", "env.reward_range=[-1,0]"]
    counts = []
    for more in (["buffer.k=1"], ["buffer.k=2"], ["buffer.k=3"], ["+env.more=1"]):
        validate(compose([*words, *more]))
        counts.append(Counted.made)
    assert 0 < counts[0] == counts[1] == counts[2] < counts[3]


MINE = """
from her_exp.agents.ddpg import DDPG

class Deep(DDPG):
    def __init__(self, depth: int, **kwargs):
        super().__init__(**kwargs)

class Mine(Deep):
    def __init__(self, flux: int, mode: str = "a", **kwargs):
        super().__init__(depth=3, **kwargs)

class Other(DDPG):
    @staticmethod
    def check_spaces(spaces):
        return "Mine needs a mountain"
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
    assert refusal("agent._target_=my_package.Other") == "agent: Mine needs a mountain"
    validate(compose([mine, "+agent.flux=1", "agent.gamma=0.5"]))


def test_what_an_experiment_sets_and_what_was_given_are_told_apart(tmp_path: Path) -> None:
    text = "unknown key agent.lr: x\nunknown key agent.epsilon_steps: y\nseed=-1: z"
    words = ["experiment=bit_flip", "agent=sac", "+agent.lr=1"]
    with composer(extra_dir=str(tmp_path)) as hydra:
        first, second, told = blame_experiment(text, words, hydra).splitlines()
        assert (first, second) == ("unknown key agent.lr: x", "seed=-1: z")
        assert told.startswith("agent=sac: does not take agent.epsilon_steps, which experiment=bit")
        given = [*words[:2], "+agent={lr: 1}"]  # the same in other words
        assert "unknown key agent.lr" in blame_experiment(text, given, hydra)
        for unlike in (words[1:], words[::2], [*words, "no.such=1"]):
            assert blame_experiment(text, unlike, hydra) == text
        # A typo in a file of one's own is not the experiment's.
        (tmp_path / "agent").mkdir()
        (tmp_path / "agent" / "mine.yaml").write_text("defaults: [ddpg]\nactor_lrr: 1\n")
        text = "unknown key agent.actor_lrr: did you mean agent.actor_lr?"
        assert blame_experiment(text, ["experiment=fetch_push", "agent=mine"], hydra) == text
