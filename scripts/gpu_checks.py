"""What must hold on a GPU: the same batches as on the CPU, replays that equal updates, an exact resume."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import toy_push
from gymnasium import spaces

from her_exp.agents.base import GoalAgent
from her_exp.agents.crl import CRL
from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.gcbc import GCBC
from her_exp.agents.sac import SAC
from her_exp.agents.td3 import TD3
from her_exp.agents.tqc import TQC
from her_exp.together.group import Group
from her_exp.types import Batch, GoalSpaces, UserError

BOX = GoalSpaces(
    spaces.Box(-np.inf, np.inf, (25,)), spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1, 1, (4,))
)
DISCRETE = GoalSpaces(BOX.observation, BOX.goal, spaces.Discrete(5))
AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddpg": (DDPG, {}),
    "td3": (TD3, {"policy_every": 2, "target_every": 2}),
    "sac": (SAC, {}),
    "redq": (SAC, {"n_critics": 5, "target_critics": 2, "policy_every": 4}),
    "tqc": (TQC, {}),
    "crl": (CRL, {}),
    "gcbc": (GCBC, {}),
    "dqn": (DQN, {}),
}


def agent_of(name: str, device: str, seed: int = 0, **settings: Any) -> GoalAgent:
    """Return an agent of FetchPush's shapes that has seen some states."""
    kind, own = AGENTS[name]
    settings = {"hidden_sizes": (256, 256, 256)} | own | settings
    agent: GoalAgent = kind(
        spaces=DISCRETE if name == "dqn" else BOX, reward_range=toy_push.REWARDS, device=device,
        seed=np.random.SeedSequence(seed), **settings,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    agent.observe(rng.normal(size=(500, 25)), rng.normal(size=(500, 3)), np.ones(500), 500)
    return agent


def batches(name: str, n: int, device: str, size: int = 256, seed: int = 2) -> list[Batch]:
    """Return random batches."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        states = [rng.normal(size=(size, w)).astype(np.float32) for w in (25, 3, 25)]
        action = rng.integers(5, size=size)
        if name != "dqn":
            action = rng.uniform(-1, 1, (size, 4)).astype(np.float32)
        ends = [
            sign * (rng.random(size) < p).astype(np.float32) for sign, p in ((-1, 0.8), (1, 0.1))
        ]
        parts = [states[0], states[1], action, *ends, states[2]]
        out.append(Batch(*(torch.from_numpy(np.asarray(part)).to(device) for part in parts)))
    return out


def furthest(one: Any, other: Any) -> float:
    """Return the largest difference between the tensors of two nested states."""
    if isinstance(one, dict):
        return max((furthest(one[k], other[k]) for k in one), default=0.0)
    if isinstance(one, torch.Tensor) and one.numel():
        return float((one.double() - other.double()).abs().max())
    return 0.0


def replays(name: str, device: str, updates: int = 40) -> Iterator[tuple[str, Any]]:
    """Replayed updates beside updates as they are, and an agent that was saved and loaded beside itself."""
    plain, replayed = agent_of(name, device, replay_updates=False), agent_of(name, device)
    drawn = batches(name, updates, device)
    half = io.BytesIO()
    for i, batch in enumerate(drawn):
        if i == updates // 2:
            torch.save(replayed.state_dict(), half)
        for agent in (plain, replayed):
            agent.update(batch)
    yield "replayed against as it is", furthest(plain.state_dict(), replayed.state_dict())
    half.seek(0)
    resumed = agent_of(name, device)
    resumed.load_state_dict(torch.load(half, weights_only=False))
    for batch in drawn[updates // 2 :]:
        resumed.update(batch)
    yield "resumed against never stopped", furthest(resumed.state_dict(), replayed.state_dict())


def groups(name: str, device: str, members: int = 3) -> float:
    """Return how far a group that replays is from one that does not: in step, apart, with one that left."""
    pair = []
    for replay in (False, True):
        agents = [agent_of(name, "cpu", seed=i, replay_updates=replay) for i in range(members)]
        group = Group(agents, device)
        for call in range(12):
            there = range(members) if call < 4 else (0, 2) if call < 8 else (1,)
            group.learn(
                {number: batches(name, 3, "cpu", seed=call + 50 * number) for number in there}
            )
        pair.append([agent.state_dict()["learners"] for agent in agents])
    return max(furthest(one, other) for one, other in zip(*pair, strict=True))


class Impatient(DDPG):
    """A loss that waits for a number: it cannot be recorded."""

    def critic_loss(self, nets: Any, batch: Any, noise: Any, s: Any) -> Any:
        """Look at a reward on the host."""
        loss, told = super().critic_loss(nets, batch, noise, s)
        return loss, told | {"first": torch.tensor(batch.reward[0].item())}


def refused(device: str) -> int:
    """Return how many warnings a loss brings that cannot be recorded; it must go on learning."""
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger("her_exp").addHandler(handler)
    AGENTS["impatient"] = (Impatient, {})
    plain = agent_of("impatient", device, replay_updates=False)
    agent = agent_of("impatient", device)
    for batch in batches("ddpg", 8, device):
        agent.update(batch), plain.update(batch)
    logging.getLogger("her_exp").removeHandler(handler)
    assert furthest(agent.state_dict(), plain.state_dict()) == 0.0
    other = agent_of("ddpg", device)  # and after it others can be recorded
    for batch in batches("ddpg", 8, device):
        other.update(batch)
    return sum("unrecorded" in record.getMessage() for record in seen)


def rows(device: str, walks: Any, **settings: Any) -> dict[str, float]:
    """Draw from a buffer on the CPU and one on the device in turn; returns where they differ."""
    both = [toy_push.her_exp_buffer(40_000, walks, device=d, **settings) for d in ("cpu", device)]
    unlike = rewards = n = 0
    for _ in range(20):
        pairs = zip(*(buffer.sample(512, 8) for buffer in both), strict=True)
        for here, there in pairs:
            for name in ("observation", "goal", "action", "next_observation"):
                unlike += int((getattr(here, name) != getattr(there, name).cpu()).sum())
            rewards += int((here.reward != there.reward.cpu()).sum())
            n += len(here.reward)
    for buffer in both:
        buffer.metrics()
    return {"numbers unlike": unlike, "rewards unlike": rewards, "of rows": n}


def late_refusal(device: str, walks: Any) -> bool:
    """Say whether relabelled rewards beyond the declared range are seen, at the next line of the log."""
    buffer = toy_push.her_exp_buffer(4000, walks, device=device)
    buffer._steps.reward_range = (-0.5, 0.0)
    buffer.sample(256)
    try:
        buffer.metrics()
    except UserError:
        return True
    return False
