"""A group of agents: each learns and acts as it would alone, whoever else is there."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from her_exp.agents.ddpg import DDPG
from her_exp.agents.residual import Residual
from her_exp.together.group import Group
from her_exp.types import Batch
from tests.agents.kit import BOX, MAKERS, batches, ddpg, dqn, inputs, maker, sac, see, td3
from tests.equality import equal

#: What members differ in, where an agent has it.
DIFFERENT: dict[str, tuple[float, ...]] = {
    "gamma": (0.98, 0.9, 0.95), "tau": (0.05, 0.2, 0.01), "actor_lr": (1e-3, 3e-3, 1e-4),
    "critic_lr": (2e-3, 1e-3, 1e-3), "lr": (1e-3, 2e-3, 5e-4), "action_l2": (0.0, 0.3, 1.0),
    "noise_std": (0.2, 0.0, 0.5), "random_action": (0.0, 0.3, 1.0), "epsilon_end": (0.1, 0.5, 0.0),
    "target_noise_std": (0.2, 0.4, 0.1), "target_noise_clip": (0.5, 0.3, 0.4),
    "entropy_lr": (1e-3, 5e-3, 2e-3), "target_entropy": (-2.0, -1.0, -1.5),
    "logsumexp_penalty": (0.1, 0.0, 1.0), "cloning_weight": (0.5, 2.0, 0.1),
}  # fmt: skip
NORM: dict[str, Any] = {"layer_norm": True, "grad_clip_norm": 0.5, "lr_milestones": (900,)}


def fixed_entropy(number: int = 0, **settings: Any) -> Any:
    return sac(number, entropy=(0.1, 0.3, 0.2)[number], **settings)


class Counts(DDPG):
    """Metrics that are plain numbers."""

    def actor_loss(self, *given: Any) -> Any:
        loss, told = super().actor_loss(*given)
        return loss, told | {"one": 1.0}


VARIANTS = {
    "plain numbers": maker("counts", Counts, BOX),
    "preactivation": partial(ddpg, action_l2_on="preactivation"),
    "fixed entropy": fixed_entropy,
    "residual": partial(ddpg, network=partial(Residual, width=8)),
} | {make.__name__: make for make in MAKERS}


def plain(inputs: int, outputs: int) -> nn.Module:
    """A network of torch's own parts: of double precision where that is torch's default."""
    return nn.Sequential(nn.Linear(inputs, 12), nn.Tanh(), nn.Linear(12, outputs))


def members(make: Any, **more: Any) -> list[Any]:
    fields = type(make()).__dataclass_fields__
    more = more or NORM
    if torch.get_default_dtype() == torch.float64:
        more = more | {"network": plain}
    out = []
    for number in range(3):
        own = {name: values[number] for name, values in DIFFERENT.items() if name in fields}
        agent = make(number, **own, **more)
        see(agent, steps=1000, seed=number)
        out.append(agent)
    return out


def given(make: Any, number: int, n: int) -> list[Batch]:
    dtype = torch.get_default_dtype()
    return [
        Batch(**{k: v.to(dtype) if v.is_floating_point() else v for k, v in batch.parts.items()})
        for batch in batches(make, n, seed=number)
    ]


def values_of(told: list[Any], name: str) -> torch.Tensor:
    """All values of a metric, however many are told at once."""
    return torch.cat([torch.as_tensor(one[name]).reshape(-1) for one in told if name in one])


def assert_told_alike(told: list[Any], own: list[Any], rtol: float = 1e-9) -> None:
    names = {name for one in own for name in one}
    assert names == {name for one in told for name in one}
    for name in names:
        pair = values_of(told, name), values_of(own, name)
        torch.testing.assert_close(*(v.sort()[0] for v in pair), rtol=rtol, atol=rtol)


def furthest(one: Any, other: Any) -> float:
    """The largest difference between two states, relative to the larger number."""
    if isinstance(one, dict):
        return max((furthest(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, torch.Tensor) and one.is_floating_point() and one.numel():
        return float(((one - other).abs() / other.abs().clamp(min=1e-3)).max())
    return 0.0


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest number."""
    return float((one - other).abs().max() / other.abs().max())


def assert_learn_alike(make: Any, rows_of: Any, calls: int, turns: Any = ((0, 1, 2),)) -> None:
    """In each call members learn, turn by turn, of `rows_of(call, member)` what they would alone."""
    alone, group = members(make), Group(members(make), "cpu")
    for call in range(calls):
        for asked in turns:
            rows = {number: rows_of(call, number) for number in asked}
            told = group.learn(rows)
            for number in asked:
                assert_told_alike(told[number], alone[number].update_all(rows[number]))
    for one, agent in zip(group.agents, alone, strict=True):
        state = one.state_dict()  # type: ignore[union-attr]  # its own, though it lies in the group's
        assert state["updates"] == agent.updates
        assert furthest(state["learners"], agent.state_dict()["learners"]) < 1e-9


@pytest.mark.heavy
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("make", MAKERS)
def test_members_learn_as_they_would_alone(make: Any) -> None:
    """Given the same rows and noise, for 200 updates in a row."""
    assert_learn_alike(make, lambda call, number: given(make, 100 * call + number, 10), 20)


@pytest.mark.heavy
@pytest.mark.parametrize("more", [{"layer_norm": False}, NORM], ids=["plain", "norm"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_in_single_precision_an_update_is_the_same_but_for_rounding(
    variant: str, more: dict[str, Any]
) -> None:
    """Each from equal states: Adam magnifies rounding where gradients are tiny."""
    make = VARIANTS[variant]
    alone = members(make, **more)
    for call in range(4):
        group = Group(copy.deepcopy(alone), "cpu")
        rows = {number: given(make, 10 * call + number, 1) for number in range(3)}
        told = group.learn(rows)
        for number, agent in enumerate(alone):
            assert_told_alike(told[number], agent.update_all(rows[number]), rtol=1e-5)
            own = group.agents[number]  # its networks are those that learn
            acts = [one.act(*inputs(4), explore=False) for one in (own, agent)]
            np.testing.assert_allclose(*acts, rtol=1e-4, atol=1e-4)
            for name, one in agent.learners.items():
                joint = group.learners[name]
                # A distance of CRL is the root of a sum: near 0 it has fewer digits.
                assert gap(joint.vector[number], one.vector) < (
                    3e-6 if variant == "crl" else 1e-6
                ), name
                if one.target_vector is not None:
                    assert gap(joint.target_vector[number], one.target_vector) < 1e-6, name


@pytest.mark.parametrize("make", [ddpg, sac, dqn])
def test_who_else_is_there_changes_no_bit(make: Any) -> None:
    """A member that waits keeps still; one that ended keeps its place."""
    full, thin = Group(members(make), "cpu"), Group([None, members(make)[1], None], "cpu")
    waiting = copy.deepcopy(full.agents[2].state_dict())  # type: ignore[union-attr]
    for call in range(5):
        rows = {number: given(make, 10 * call + number, 3) for number in (0, 1)}
        told = full.learn(rows), thin.learn({1: rows[1]})
        assert equal(told[0][1], told[1][1])
    states = [group.agents[1].state_dict() for group in (full, thin)]  # type: ignore[union-attr]
    assert equal(*states)
    assert equal(waiting, full.agents[2].state_dict())  # type: ignore[union-attr]
    see_ = {number: (*inputs(4, seed=number), True) for number in range(3)}
    np.testing.assert_array_equal(full.act(see_)[1], thin.act({1: see_[1]})[1])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("explore", [True, False])
def test_members_act_as_they_would_alone(make: Any, explore: bool) -> None:
    """Each with its own noise and share of random actions; one of them still blindly."""
    alone, group = members(make), Group(members(make), "cpu")
    if hasattr(alone[0], "random_steps"):
        for agent in (alone[0], group.agents[0]):
            agent.random_steps = 2000
    for turn in range(3):
        looks = {number: (*inputs(5, seed=turn + number), explore) for number in range(3)}
        acted = group.act(looks)
        for number, (observation, goal, _) in looks.items():
            own = alone[number].act(observation, goal, explore=explore)
            np.testing.assert_allclose(acted[number], own, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("doubles")
def test_members_out_of_step_learn_each_by_its_own_beat() -> None:
    """TD3 moves its policy in every second update: two members that are an odd number apart."""
    rows = partial(given, td3)
    assert_learn_alike(td3, lambda call, number: rows(call + number, 3), 4, ((0,), (0, 1)))


@pytest.mark.usefixtures("doubles")
def test_a_setting_that_a_member_changes_counts_at_once() -> None:
    alone, group = members(ddpg), Group(members(ddpg), "cpu")
    for call in range(4):
        rows = {number: given(ddpg, 10 * call + number, 2) for number in range(3)}
        for agent in (alone[1], group.agents[1]):
            agent.critic_lr, agent.gamma = 1e-3 / (1 + call), 0.9 + 0.01 * call
        told = group.learn(rows)
        for number in range(3):
            assert_told_alike(told[number], alone[number].update_all(rows[number]))


def fails(*_: Any) -> Any:
    raise RuntimeError("the dog ate it")


@pytest.mark.parametrize("name", ["draw", "decide"])
def test_what_one_member_raises_is_its_own(name: str) -> None:
    """Its parameters stand; the others learn and act on, not a bit different."""
    broken, whole = Group(members(sac), "cpu"), Group(members(sac), "cpu")
    before = copy.deepcopy(broken.agents[1].state_dict()["learners"])  # type: ignore[union-attr]
    setattr(broken.agents[1], name, fails)
    rows = {number: given(sac, number, 2) for number in range(3)}
    looks = {number: (*inputs(4, seed=number), True) for number in range(3)}
    answers = [(group.learn(rows), group.act(looks)) for group in (broken, whole)]
    (told, acted), (all_told, all_acted) = answers
    failed = told[1] if name == "draw" else acted[1]
    assert str(failed) == "the dog ate it"
    for number in (0, 2):
        assert equal(told[number], all_told[number])
        np.testing.assert_array_equal(acted[number], all_acted[number])
    if failed is told[1]:
        assert equal(before, broken.agents[1].state_dict()["learners"])  # type: ignore[union-attr]
