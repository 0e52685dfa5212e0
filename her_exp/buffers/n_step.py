"""Steps drawn from a ring looked at for n steps ahead, all under the goal of the first.

Multi-step hindsight (Yang et al. 2021, arXiv:2102.12962). A window is cut after the first step that ends its
episode under its goal, and at the last state of its episode so far.
"""

from __future__ import annotations

import numpy as np
import torch

from her_exp.buffers.batches import Workspace
from her_exp.buffers.goals import Index, MixedGoals
from her_exp.buffers.recorder import CRASH, EXTRA, REWARD, TERMINATED, StoredSteps


def look_ahead(
    n: int, steps: StoredSteps, room: Workspace, rows: Index, at: Index, chosen: MixedGoals
) -> torch.Tensor:
    """Make windows of up to `n` > 1 steps of what `room` holds: steps, those to relabel relabelled.

    Filled in are reward and terminated (b, n), and the observation after the last step that is taken.

    Args:
        n: steps of a window, at most.
        steps: where they are read.
        room: the first steps.
        rows: (b,) flat rows of the first steps.
        at: (c,) which of them were relabelled ...
        chosen: ... with which goals.

    Returns:
        (b, n) rewards of steps that are taken, in place of others that of the first: to be checked.
    """
    ring, tensors, count = steps.ring, steps.tensors, len(rows)
    left = ring.left(rows, ring.age(rows))  # a buffer with weights draws some anew
    # What lies beyond the last step is that step again, and not taken.
    later = ring.rows_ahead(rows[:, None], np.minimum(np.arange(1, n), left[:, None] - 1))
    flat = tensors.index(later.reshape(-1))
    signals = tensors.gather(flat, "signals")
    _judge_anew(steps, signals, rows, later, at, chosen)
    first = room.fields["signals"][:count]
    signals = torch.cat([first[:, None], signals.view(count, n - 1, -1)], 1)
    reward, ends = signals[..., REWARD], signals[..., TERMINATED] > 0
    last = tensors.index(np.minimum(left, n) - 1)
    over = ends | (torch.arange(n, device=ends.device) == last[:, None])
    taken = over.cumsum(1) - over.long() == 0
    follows = taken & over & ~ends  # what is to be looked up stands after this step
    room.fields["reward"][:count] = reward * taken
    room.fields["terminated"][:count] = (~follows).float()
    first[:, TERMINATED] = (~follows.any(1)).float()
    stop = taken.sum(1, keepdim=True) - 1
    final = torch.cat([tensors.index(rows)[:, None], flat.view(count, n - 1)], 1).gather(1, stop)
    after = tensors.gather(final[:, 0] + 1, "observation")
    room.fields["next_observation"][:count].copy_(after)
    return torch.where(taken, reward, reward[:, :1])


def _judge_anew(
    steps: StoredSteps,
    signals: torch.Tensor,
    rows: Index,
    later: Index,
    at: Index,
    chosen: MixedGoals,
) -> None:
    """Put reward and end under the goal of the first step into signals (b * (n - 1), 4).

    A step whose own goal that is keeps what the env gave.
    """
    anew = np.zeros(later.shape, bool)
    anew[at] = True
    kept = np.flatnonzero(~anew[:, 0])
    if kept.size:  # an env may move its goal
        asked, own = (
            steps.host.gather(torch.from_numpy(some.reshape(-1)), "desired_goal")
            for some in (rows[kept], later[kept])
        )
        anew[kept] = (own.view(*later[kept].shape, -1) != asked[:, None]).any(-1).numpy()
    places = np.flatnonzero(anew)
    if not places.size:
        return
    tensors = steps.tensors
    goal = tensors.gather(tensors.index(rows), "desired_goal")
    if at.size:
        goal[tensors.index(at)] = steps.goals_at(chosen, tensors)
    goal = goal[tensors.index(places // later.shape[1])]
    judged = later.reshape(-1)[places]
    achieved = tensors.gather(tensors.index(judged + 1), "achieved_goal")
    reward, terminated = steps.judge(achieved, goal, judged)
    where = tensors.index(places)
    some = signals[where]
    some[:, REWARD] = reward + some[:, EXTRA]
    some[:, TERMINATED] = torch.maximum(terminated, some[:, CRASH])
    signals[where] = some
