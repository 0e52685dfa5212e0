"""Jobs that take turns in one process, and wait for one another where they learn and act.

Each job is a thread, but one runs at a time: it goes on until it asks to act or to learn. When all have
asked, their group does it for all of them. A job needs to know nothing of that: its agent asks.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from her_exp.agents.base import GoalAgent
from her_exp.together.group import Group
from her_exp.types import Array, Batch, Metrics

log = logging.getLogger(__name__)

_here = threading.local()


def seat() -> Seat | None:
    """Return the place of the job that runs in this thread, or None: it runs alone."""
    return getattr(_here, "seat", None)


class Seat:
    """A job's place among the others.

    Args:
        number: its place.
        back: tells the others that it waits, or has ended.
    """

    def __init__(self, number: int, back: threading.Semaphore):
        self.number, self._back = number, back
        self.go = threading.Semaphore(0)
        self.agent: GoalAgent | None = None
        self.device = "cpu"
        self.surroundings: Any = None
        self.asks: tuple[str, Any] | None = None
        self.answer: Any = None
        self.ended = False
        self.result: Any = None

    def join(self, agent: GoalAgent, device: str) -> Member:
        """Let a job's agent learn and act with those of the others, on `device`."""
        self.agent, self.device = agent, device
        return Member(agent, self)

    def ask(self, what: str, *given: Any) -> Any:
        """Wait until all others ask as well; returns the answer, or raises what went wrong."""
        self.asks = what, given
        self._back.release()
        self.go.acquire()
        self.asks, answer = None, self.answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def sit(self, body: Callable[[], Any]) -> None:
        """Run the job; its result, or what it raised, is kept."""
        _here.seat = self
        self.go.acquire()
        try:
            self.result = body()
        except BaseException as error:
            self.result = error
        self.ended = True
        self._back.release()


class Member:
    """A job's agent as its trainer knows it; all but acting and learning is the agent's own."""

    def __init__(self, agent: GoalAgent, place: Seat):
        self._agent, self._seat = agent, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Choose actions with the others."""
        return self._seat.ask("act", observation, goal, explore)  # type: ignore[no-any-return]

    def update(self, batch: Batch) -> Metrics:
        """Learn with the others."""
        return self.update_all([batch])[0]

    def update_all(self, batches: Sequence[Batch]) -> list[Metrics]:
        """Learn with the others."""
        return self._seat.ask("learn", batches)  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        """Return the agent's state as its own: what is part of the group's is copied to the host."""
        state: dict[str, Any] = _copied(self._agent.state_dict())
        return state


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value


def run_together(
    bodies: Sequence[Callable[[], Any]],
    leave: Callable[[], Any] = lambda: None,
    enter: Callable[[Any], None] = lambda _: None,
) -> list[Any]:
    """Run jobs in turns until all have ended; returns what each returned, or raised.

    Empty places, of jobs that end without an agent, count: numbers do not depend on who is still there.

    Args:
        bodies: the jobs.
        leave: returns what of the process a job has changed for itself, when its turn ends.
        enter: puts that back when its next turn begins.
    """
    back = threading.Semaphore(0)
    seats = [Seat(number, back) for number in range(len(bodies))]
    for one, body in zip(seats, bodies, strict=True):
        threading.Thread(target=one.sit, args=(body,), daemon=True).start()
    group: Group | None = None
    there, before = seats, leave()
    for one in seats:
        one.surroundings = before
    try:
        while True:
            for one in there:
                enter(one.surroundings)
                one.go.release()
                back.acquire()
                one.surroundings = leave()
            enter(before)
            there = [one for one in there if not one.ended]
            if not there:
                break
            try:
                group = group or _group_of(seats, there)
            except Exception as error:  # of all of them, each tells it in its own log
                for one in there:
                    one.answer = error
                continue
            _serve(group, there)
    finally:
        enter(before)
    return [one.result for one in seats]


def _group_of(seats: Sequence[Seat], there: Sequence[Seat]) -> Group:
    device = there[0].device
    log.info("%d runs learn as one on %s", len(seats), device)
    return Group([one.agent for one in seats], device)


def _serve(group: Group, seats: Sequence[Seat]) -> None:
    """Do what was asked for, all that is alike at once."""
    acts: dict[Any, dict[int, Any]] = defaultdict(dict)
    learns: dict[Any, dict[int, Any]] = defaultdict(dict)
    for one in seats:
        assert one.asks is not None
        what, given = one.asks
        if what == "act":
            acts[given[0].shape][one.number] = given
        else:
            (batches,) = given
            first = batches[0]
            learns[len(batches), first.reward.shape, tuple(first.parts)][one.number] = batches
    by_number = {one.number: one for one in seats}
    for do, kinds in ((group.act, acts), (group.learn, learns)):
        for asked in kinds.values():
            try:
                answers: Mapping[int, Any] = do(asked)
            except Exception as error:
                answers = dict.fromkeys(asked, error)
            for number, answer in answers.items():
                by_number[number].answer = answer
