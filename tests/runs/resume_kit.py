"""The agents and envs whose runs are stopped and go on, and what must be equal then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.run import train
from her_exp.system.machine import products
from tests.runs.runs_kit import checkpoints, result_of

_SUBSET = ["agent.n_critics=3", "agent.target_critics=2", "agent.policy_every=2"]
_RARE = ["buffer=weighted", "buffer.rare_weight=9", "buffer.met_weight=0.2"]
_RARE += ["buffer.strategy=future_actual", "buffer.n_step=3"]
_REACHED = ["buffer.k=inf", "buffer.strategy={_target_:her_exp.buffers.goals.Geometric,gamma:0.9}"]
#: Agents, with the kind of actions that they take.
AGENTS: dict[str, tuple[str, list[str]]] = {
    "ddpg": ("box", ["agent=ddpg", "agent.random_steps=100"]),
    "td3": ("box", ["agent=td3", "agent.normalize=false", "agent.target_every=3"]),
    "sac": ("box", ["agent=sac", "agent.random_steps=100"]),
    "redq": ("box", ["agent=sac", "agent.grad_clip_norm=1", *_SUBSET]),
    "tqc": ("box", ["agent=tqc", "agent.entropy=0.1", "agent.n_quantiles=5"]),
    "crl": ("box", ["agent=crl", "agent.random_steps=100", *_REACHED]),
    "ddpg_rare": ("box", ["agent=ddpg", "agent.random_steps=100", *_RARE]),
    "dqn": ("discrete", ["agent=dqn", "agent.epsilon_steps=300"]),
    "qrdqn": ("discrete", ["agent=qrdqn", "agent.epsilon_steps=300", "agent.dueling=true"]),
}
if products().bfloat16:
    AGENTS["ddpg_bfloat16"] = ("box", ["agent=ddpg", "agent.precision=bfloat16"])
_BY_ID = ["env=gym", "env.reward_range=[-1,0]", "env.num_envs=2", "env.num_eval_envs=2"]
_REACH = [*_BY_ID, "env.id=her_exp/PointReach-v0", "+env.max_steps=10"]
_FETCH = [*_BY_ID, "env.id=FetchReach-v4", "env.imports=[gymnasium_robotics]"]
_FLIP = [*_BY_ID, "env.id=her_exp/BitFlip-v0", "+env.n_bits=4"]
#: Envs: kind of actions, whether they can save their state, settings.
ENVS: dict[str, tuple[str, bool, list[str]]] = {
    "point_reach": ("box", True, ["env.max_steps=10"]),
    "nav2d": ("box", True, ["env=nav2d", "env.max_steps=10"]),
    "bit_flip": ("discrete", True, ["env=bit_flip", "env.n_bits=4"]),
    "bit_flip_box": ("box", True, ["env=bit_flip", "env.n_bits=4", "env.continuous=true"]),
    "sync_reach": ("box", False, [*_REACH, "env.backend=sync"]),
    "sync_flip": ("discrete", False, [*_FLIP, "env.backend=sync", "buffer.info_keys=[is_success]"]),
    "async_reach": ("box", False, [*_REACH, "env.backend=async"]),
    "envpool_reach": ("box", False, [*_FETCH, "env.backend=envpool", "+env.max_episode_steps=10"]),
    "async_flip": ("discrete", False, [*_FLIP, "env.backend=async"]),
}
if find_spec("gymnasium_robotics"):
    ENVS["fetch_reach"] = (
        "box", False, ["env=fetch_reach", "env.num_envs=2", "env.max_episode_steps=10",
                       "env.backend=sync"],
    )  # fmt: skip
#: All envs with the first agents; the others, which see no env, with two of them.
_FIRST, _FEW = ("ddpg", "dqn"), ("point_reach", "bit_flip", "sync_reach", "sync_flip")
CASES = [
    (a, e)
    for a, (acts, _) in AGENTS.items()
    for e, (kind, *_) in ENVS.items()
    if acts == kind and (a in _FIRST or e in _FEW)
]
NATIVE = [(a, e) for a, e in CASES if ENVS[e][1]]
#: Every schedule out of step with the others; the ring wraps twice and more.
TINY = [
    "trainer.total_steps=400", "trainer.learning_starts=60", "trainer.batch_size=16",
    "trainer.updates_per_step=0.3", "trainer.eval_every=130", "trainer.eval_episodes=2",
    "trainer.log_every=70", "trainer.checkpoint_every=150",
    "trainer.short_checkpoints=true", "trainer.keep_checkpoints=9",
    "agent.hidden_sizes=[8]", "buffer.capacity=160",
]  # fmt: skip


def words(agent: str, env: str, *more: str) -> list[str]:
    """The command line of a run; `more` comes in the place of what has the same key."""
    asked = [*ENVS[env][2], *AGENTS[agent][1], *TINY, *more]
    return list({word.partition("=")[0]: word for word in asked}.values())


def killed_at(source: Path, checkpoint: int, folder: Path) -> Path:
    """A copy of a run folder as a kill leaves it that came after a checkpoint and before the next."""
    shutil.copytree(source, folder)
    for path in checkpoints(folder)[checkpoint + 1 :]:
        path.unlink()
    (folder / "result.json").write_text(json.dumps(result_of(folder) | {"status": "running"}))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


NeverStopped = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> NeverStopped:
    """Runs that never stopped, of this agent and env, each made once."""
    root = tmp_path_factory.mktemp("never_stopped")
    done: dict[str, Path] = {}

    def make(agent: str, env: str) -> Path:
        if env.startswith("envpool") and find_spec("envpool") is None:
            pytest.skip("needs the extra: pip install '.[fast]'")
        name = f"{agent}-{env}"
        if name not in done:
            done[name] = root / name
            overrides = words(agent, env)
            train(compose(overrides), done[name], overrides)
        return done[name]

    return make
