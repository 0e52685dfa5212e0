"""Looks at an env's reward: is it compute_reward's, and does it tell one goal from another?"""

from __future__ import annotations

import numpy as np

from her_exp.envs.doctor.goal_call import TOLERANCE, Seen, pairs_of, share
from her_exp.types import Array


def look_at_reward(seen: Seen) -> bool:
    """Look at everything; False: there is nothing to go on from."""
    if "compute_reward" not in seen.calls:
        seen.found.error(
            "compute_reward",
            "is missing: give the env compute_reward(achieved_goal, desired_goal, info), and "
            "let step use it; without it no other goal can be tried on a step",
        )
        return False
    if not seen.found.guarded("compute_reward", lambda: _reward(seen)):
        return False
    seen.found.guarded("hindsight", lambda: _hindsight(seen))
    return True


def _reward(seen: Seen) -> bool:
    """Compare compute_reward with step's reward. False: there is nothing to go on from."""
    call, moments = seen.calls["compute_reward"], seen.moments
    stored = np.array([float(m.reward) + 0.0 for m in moments])
    computed = np.array([call.one(m.achieved, m.desired, m.info) for m in moments])
    if not (np.isfinite(stored).all() and np.isfinite(computed).all()):
        seen.found.error("compute_reward", "gives a reward that is not finite")
        return False
    differ = ~np.isclose(stored, computed, TOLERANCE, TOLERANCE)
    if differ.any():
        _unexplained(seen, stored, computed, differ)
    else:
        values = ", ".join(f"{value:g}" for value in np.unique(stored)[:4])
        more = ", ..." if len(np.unique(stored)) > 4 else ""
        seen.found.ok(
            "reward of step",
            f"equals compute_reward on {len(stored)} steps (seen: {values}{more})",
        )
    return True


def _unexplained(seen: Seen, stored: Array, computed: Array, differ: Array) -> None:
    """Report a part of step's reward that compute_reward does not give."""
    call, moments = seen.calls["compute_reward"], seen.moments
    before = np.array([call.one(m.before, m.desired, m.info) for m in moments])
    if np.allclose(stored, before, TOLERANCE, TOLERANCE):
        seen.found.error(
            "reward of step",
            "is compute_reward of the goal achieved before the action; pay for what was "
            "achieved after it",
        )
        return
    shown = np.array([call.one(m.achieved, m.shown, m.info) for m in moments])
    if np.allclose(stored[differ], shown[differ], TOLERANCE, TOLERANCE):
        seen.found.warning(
            "reward of step",
            f"is that of the next goal, not shown yet, on {share(differ)} of the steps: they are "
            "counted for the goal that was asked for",
        )
        return
    rest = (stored - computed)[differ]
    size = f"{rest[0]:g}" if np.ptp(rest) < TOLERANCE else f"{rest.min():g} to {rest.max():g}"
    seen.found.warning(
        "reward of step",
        f"differs from compute_reward on {share(differ)} of the steps, by {size}: a part that "
        "no goal explains, such as a crash penalty. It is kept and added after relabelling; if "
        "it does depend on the goal, move it into compute_reward",
    )


def _hindsight(seen: Seen) -> None:
    """See whether a goal that is met pays more, and whether the goal handed in counts at all."""
    call, pairs = seen.calls["compute_reward"], pairs_of(seen.moments)
    own = np.array([call.one(p.achieved, p.achieved, p.info) for p in pairs])
    other = np.array([call.one(p.achieved, p.desired, p.info) for p in pairs])
    worse = own < other - TOLERANCE
    if worse.any():
        i = int(np.argmax(other - own))
        seen.found.warning(
            "hindsight",
            f"a goal that is met just so can pay less ({own[i]:g}) than another ({other[i]:g}): "
            "relabelling with what was achieved teaches little then",
        )
    elif (own <= other + TOLERANCE).all():
        seen.found.warning(
            "hindsight",
            f"no reward depends on the goal that is handed in ({other.min():g} to "
            f"{other.max():g}, met or not); does compute_reward read the env's own goal?",
        )
    else:
        seen.found.ok(
            "hindsight",
            f"a goal that is met pays {own.max():g}, the least else {other.min():g}",
        )
