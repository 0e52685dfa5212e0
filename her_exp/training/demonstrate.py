"""Puts a set of demonstrations beside a run's buffer, and shows it to the agent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from her_exp.buffers.demonstrations import WithDemonstrations, states_of, steps_of
from her_exp.data.look import size, too_long
from her_exp.data.minari_set import MinariSet
from her_exp.envs.make import GoalTask
from her_exp.types import Agent, Buffer, GoalFunctions

log = logging.getLogger(__name__)


def with_demonstrations(
    own: Buffer,
    like: Callable[[int], Buffer],
    name: str,
    share: float,
    task: GoalTask,
    functions: GoalFunctions,
    info_keys: Sequence[str],
    agent: Agent | None,
) -> WithDemonstrations:
    """Return a buffer that draws from `own` and from a set.

    Args:
        own: the run's buffer.
        like: makes one of so many rows, with one lane, for the set.
        name: of the set: a folder or a Minari id.
        share: of a batch that is the set's.
        task, functions: the env that the set is to fit, and its functions.
        info_keys: info fields that these read.
        agent: sees the states of the set; None: it has, before the run that goes on was stopped.
    """
    found = MinariSet(name)
    found.fits(task.spaces, task.id, info_keys)
    log.info("demonstrations: %s", size(found))
    if line := too_long(found, task.episode_steps):
        log.warning("buffer.demonstrations: %s", line)
    demonstrations = like(found.rows)
    for episode in found.episodes(task.spaces, info_keys):
        demonstrations.begin({key: value[:1] for key, value in episode.observation.items()})
        for step in steps_of(episode, functions):
            demonstrations.add(step)
        if agent is not None:
            agent.observe(*states_of(episode, own.achieved_share), 0)
    return WithDemonstrations(own, demonstrations, share, found.digest())
