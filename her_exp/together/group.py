"""Agents that learn and act as one: parameters with a leading axis, losses lifted by `vmap`.

A member's own agent keeps what is drawn, seen and counted; its learners become parts of the group's. So its
state is its own, and saved as if it were alone. A member that asks for nothing keeps still.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from her_exp.agents.base import GoalAgent, Learned
from her_exp.agents.engine import Engine, Settings, as_one_step
from her_exp.agents.products import lifted
from her_exp.learning.learner import Learner
from her_exp.learning.replays import Replays
from her_exp.types import Array, Batch, Metrics

_OURS = ("scaling", "live")  # what is given to an update beside what its losses draw


class Group:
    """Several agents of one kind; what they may differ in says `alike`.

    Args:
        agents: a member each, on the CPU; None for a place that stays empty. What they have learned so far is
            taken over.
        device: where they learn and act.
    """

    def __init__(self, agents: Sequence[GoalAgent | None], device: torch.device | str):
        self.agents, self.device = agents, torch.device(device)
        self.lead = lead = next(agent for agent in agents if agent is not None)
        self.learners: dict[str, Learner] = {}
        for name, one in lead.learners.items():
            network = copy.deepcopy(one.network).to(self.device)
            joint = Learner([network] * len(agents), name in lead.targets, many=True)
            for number, agent in enumerate(agents):
                if agent is not None:
                    joint.adopt(agent.learners[name], number)
            self.learners[name] = joint
        self._lead = copy.copy(lead)  # losses read constants of it, on this device
        self._lead.device = self.device
        for name, value in vars(lead).items():
            if isinstance(value, Tensor):
                setattr(self._lead, name, value.to(self.device))
        self._engine = Engine(
            self._lead, lead.moves(), self.learners, lead.grad_clip_norm, runs=len(agents)
        )
        self._values: list[dict[str, Any]] = []  # of the settings, as they were last
        self._settings = self._read_settings()
        self._room: dict[Any, Batch] = {}
        self._read: torch.cuda.Event | None = None  # when what was sent last has left the host
        self._live: dict[Any, Tensor] = {}
        self._replays = Replays() if self.device.type == "cuda" and lead.replay_updates else None

    def _read_settings(self) -> Settings:
        """Return the members' settings; a recording reads the same tensors, whatever they hold."""
        values = [vars((agent or self.lead).settings) for agent in self.agents]
        if values != self._values:
            joint = {
                name: torch.tensor(
                    [float(one[name]) for one in values], dtype=torch.get_default_dtype()
                )
                for name, value in values[0].items()
                if value is not None
            }
            if not self._values:
                self._settings = Settings(**{k: v.to(self.device) for k, v in joint.items()})
            for name, tensor in joint.items():
                getattr(self._settings, name).copy_(tensor)
            self._values = values
        return self._settings

    def _agent(self, number: int) -> GoalAgent:
        agent = self.agents[number]
        assert agent is not None
        return agent

    def _each(
        self, members: Iterable[int], do: Callable[[GoalAgent, int], Any], failed: dict[int, Any]
    ) -> dict[int, Any]:
        """Return what `do` gives for each of the members; what it raises for one is put into `failed`."""
        found = {}
        for number in members:
            try:
                found[number] = do(self._agent(number), number)
            except Exception as error:
                failed[number] = error
        return found

    # -- acting ------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(self, asked: Mapping[int, tuple[Array, Array, bool]]) -> dict[int, Any]:
        """Return the actions of members, by number, for observations, goals, and whether to explore.

        All have the same number of lanes. In place of actions stands what went wrong with a member's own.
        """
        failed: dict[int, Any] = {}

        def look(agent: GoalAgent, number: int) -> Tensor | None:
            observation, goal, explore = asked[number]
            return None if agent.is_blind(explore) else agent.input_of(observation, goal)

        sees = self._each(asked, look, failed)
        seen = {number: state for number, state in sees.items() if state is not None}
        raws = self._outputs(seen) if seen else {}

        def decide(agent: GoalAgent, number: int) -> Array:
            observation, _, explore = asked[number]
            return agent.decide(raws.get(number), len(observation), explore)

        return self._each(sees, decide, failed) | failed

    def _outputs(self, states: Mapping[int, Tensor]) -> dict[int, Tensor]:
        learner = self.learners[self.lead.policy]

        def call(parameters: Any, x: Tensor) -> Any:
            return functional_call(learner.network, parameters, x)

        with lifted():
            raw = vmap(call)(learner.parameters, self._joint(states)).cpu()
        return {number: raw[number] for number in states}

    # -- learning ----------------------------------------------------------------------------------

    @torch.no_grad()
    def learn(self, asked: Mapping[int, Sequence[Batch]]) -> dict[int, Any]:
        """Let members, by number, take a step by each of their batches; all have as many, of one shape.

        Returns the metrics of each step, or what went wrong with a member's own.
        """
        count = len(next(iter(asked.values())))
        batches, scaling = self._sent(asked), self._scaling()
        self._read_settings()
        failed: dict[int, Any] = {}
        told: dict[tuple[Any, str], list[Tensor]] = defaultdict(list)
        for step in range(count):
            batch = Batch(**{name: part[:, step] for name, part in batches.parts.items()})
            kinds: dict[Any, list[int]] = defaultdict(list)  # in step all do the same
            own = self._each(asked.keys() - failed.keys(), self._kind, failed)
            for number in sorted(own):
                kinds[own[number]].append(number)
            for kind, numbers in kinds.items():
                members, values = self._step(batch, scaling, kind, numbers, failed)
                for name, value in values.items():
                    told[members, name].append(value)
        out: dict[int, list[Metrics]] = {number: [{} for _ in range(count)] for number in asked}
        for (members, name), parts in told.items():
            columns = torch.stack(parts).unbind(1)
            for number in members:  # several kinds in one call tell one after the other
                place = next(one for one in out[number] if name not in one)
                place[name] = columns[number]
        return out | failed

    @staticmethod
    def _kind(agent: GoalAgent, _: int) -> Any:
        return tuple(agent.skipped()), agent.takes_turn(agent.target_every)

    def _step(
        self,
        batch: Batch,
        scaling: Tensor,
        kind: Any,
        numbers: Sequence[int],
        failed: dict[int, Any],
    ) -> tuple[tuple[int, ...], Metrics]:
        """Return who took the step, and what it tells."""
        skip, targets = kind
        size = batch.reward.shape[1]
        drawn = self._each(numbers, lambda agent, _: agent.draw(size, skip), failed)
        members = tuple(drawn)
        if not members:
            return members, {}
        names = drawn[members[0]].keys()
        noise = {name: self._joint({n: d[name] for n, d in drawn.items()}) for name in names}
        noise |= {"scaling": scaling, "live": self._alive(members)}
        given = batch, noise, self._settings, skip, targets
        told = self._replays(self._apply, *given) if self._replays else self._apply(*given)
        for number in members:
            self._agent(number).updates += 1
        return members, told

    def _apply(
        self,
        batch: Batch,
        noise: Mapping[str, Any],
        s: Settings,
        skip: Sequence[str],
        targets: bool,
    ) -> Metrics:
        scaling, batch = noise["scaling"], as_one_step(batch, s)

        def seen(observation: Tensor) -> Tensor:
            state = torch.cat([observation, batch.goal], dim=-1)
            if not self.lead.inputs.enabled:
                return state
            clip = self.lead.inputs.clip
            return state.sub_(scaling[:, :1]).mul_(scaling[:, 1:]).clamp_(-clip, clip)

        learned = Learned(
            seen(batch.observation), self._lead.units(batch.action), batch.reward, batch.terminated,
            seen(batch.next_observation), batch.demonstrated,
        )  # fmt: skip
        drawn = {name: values for name, values in noise.items() if name not in _OURS}
        return self._engine.update(learned, drawn, s, skip, targets, noise["live"])

    def _scaling(self) -> Tensor:
        parts = []
        for agent in self.agents:
            inputs = (agent or self.lead).inputs
            inputs.refresh()
            parts.append(inputs.scaling)
        return torch.stack(parts).to(self.device)

    def _alive(self, members: tuple[int, ...]) -> Tensor:
        if members not in self._live:
            live = torch.zeros(len(self.agents), 1, dtype=torch.bool)
            live[list(members)] = True
            self._live[members] = live.to(self.device)
        return self._live[members]

    def _joint(self, parts: Mapping[int, Tensor]) -> Tensor:
        """Return members' tensors of one shape as one on the device; zeros where there is none."""
        nothing = torch.zeros_like(next(iter(parts.values())))
        return torch.stack([parts.get(n, nothing) for n in range(len(self.agents))]).to(self.device)

    def _sent(self, asked: Mapping[int, Sequence[Batch]]) -> Batch:
        """Return the members' batches as one on the device, each part (members, batches, b, ...)."""
        some = next(iter(asked.values()))
        shapes = tuple((name, len(some), *part.shape) for name, part in some[0].parts.items())
        if shapes not in self._room:  # an empty place learns from anything that is a batch
            pinned, every = self.device.type == "cuda", {}
            for name in some[0].parts:
                first = _together([getattr(batch, name) for batch in some])
                part = first.expand(len(self.agents), *first.shape).clone()
                every[name] = part.pin_memory() if pinned else part
            self._room[shapes] = Batch(**every)
        room = self._room[shapes].parts
        if self._read is not None:
            self._read.synchronize()
        for number, batches in asked.items():
            for name, part in room.items():
                part[number].copy_(_together([getattr(batch, name) for batch in batches]))
        sent = Batch(**{n: part.to(self.device, non_blocking=True) for n, part in room.items()})
        if self.device.type == "cuda":
            self._read = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._read.record()
        return sent


def _together(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape as one, (n, ...): a view where they lie one behind the other."""
    first, size = parts[0], len(parts[0]) * parts[0].stride(0)
    start, step = first.data_ptr(), size * first.element_size()
    whole = first.untyped_storage().data_ptr()
    if all(
        part.data_ptr() == start + number * step and part.untyped_storage().data_ptr() == whole
        for number, part in enumerate(parts)
    ):
        return first.as_strided((len(parts), *first.shape), (size, *first.stride()))
    return torch.stack(list(parts))
