"""How the envs of a run begin, and how one that goes on gets them back.

A scheduled checkpoint is a barrier: there every run, stopped or not, resets its envs with a seed of the
step, so that one which goes on from there repeats the one that never stopped. A checkpoint of another
moment holds the envs' own state where they can give it. Its `kind` says which:

- `new`: they have not begun;
- `barrier`: reset as the run that was saved did;
- `due`: the barrier of this step is still to come, and its checkpoint too;
- `exact`: the state of the envs is in the checkpoint;
- `cut`: they cannot save it, so the open episodes start again here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from her_exp.training.rollout import Rollout
from her_exp.types import Observation

log = logging.getLogger(__name__)


class Barrier:
    """Where the envs of a run stand.

    Args:
        rollout: steps the envs.
        seed: of lane 0 in the first episode.
        begins: told the first observation of all lanes whenever new episodes start.
    """

    def __init__(self, rollout: Rollout, seed: int, begins: Callable[[Observation], None]):
        self._rollout, self._seed, self._begins = rollout, seed, begins
        self._at = -1  # env steps at which the envs were last reset for a checkpoint
        #: How the envs are to begin; None: they have.
        self._saved: Mapping[str, Any] | None = {"kind": "new"}

    def start(self, env_steps: int, more: bool) -> str | None:
        """Bring the envs to where they were; returns the kind in which that was saved, if it was needed.

        `more`: the run is not at its end.
        """
        saved = self._saved or {"kind": "new"}
        kind: str = saved["kind"]
        if kind == "new" and not more:  # a longer run begins with them
            return None
        self._saved = None
        if kind == "new":
            self._begins(self._rollout.reset(self._seed))
        elif kind == "barrier":
            self._rollout.reset(self._barrier_seed(env_steps))  # its buffer has begun already
        elif kind == "exact":
            self._rollout.load_state(saved)
        elif kind == "cut":
            if not more:
                return None
            log.warning("this env cannot save its state: the open episodes start again here")
            self.reset(env_steps)
        return kind

    def reset(self, env_steps: int) -> None:
        """Start new episodes, at a seed of this step."""
        self._begins(self._rollout.reset(self._barrier_seed(env_steps)))

    def state(self, env_steps: int) -> dict[str, Any]:
        """Return how a run that goes on from here gets its envs back."""
        if self._saved is not None:
            return dict(self._saved)
        return {"kind": "barrier"} if self._at == env_steps else self._rollout.state()

    def load_state(self, saved: Mapping[str, Any]) -> None:
        """Begin as `state` says."""
        self._saved = saved

    def _barrier_seed(self, env_steps: int) -> int:
        self._at = env_steps
        return barrier_seed(self._seed, env_steps)


def barrier_seed(env_seed: int, env_steps: int) -> int:
    """Return an env seed that follows from the run's and the step: the same whether or not we stopped."""
    sequence = np.random.SeedSequence([env_seed, env_steps])
    return int(sequence.generate_state(1)[0]) % (2**31 - 2**16)
