"""Where a run's numbers go besides TensorBoard and `metrics.csv`: trackers, files, messages of one's own."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her_exp.system.foreign import foreign_code, reason_of

log = logging.getLogger(__name__)


class Sink:
    """What `trainer.sinks` holds. Derive from it, and say what you want to hear of.

    The constructor takes settings, refuses bad ones, and opens nothing: it is called once more before the
    run, to check them. What a method is given is its own; what it raises is told once, and the sink left out.
    """

    def begin(self, folder: Path, config: Mapping[str, Any], resumed: int | None) -> None:
        """Hear of the run before its first step.

        Args:
            folder: the run folder.
            config: as its `config.yaml` has it.
            resumed: env steps of the checkpoint that the run goes on from; None: it starts.
        """

    def scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Hear of numbers, tag to value, as `metrics.csv` gets them; several times at the same env step."""

    def picture(self, tag: str, image: NDArray[np.uint8], env_steps: int) -> None:
        """See a picture (height, width, 3)."""

    def result(self, content: Mapping[str, Any]) -> None:
        """Hear what `result.json` says now; its `status` is running, done, stopped or failed."""

    def close(self) -> None:
        """Hear that the run has ended, however it did."""


class Sinks:
    """Sinks that cannot harm the run: one that raises is named once and left out from then on.

    Args:
        sinks: those of the run.
    """

    def __init__(self, sinks: Sequence[Sink]):
        self._there = list(sinks)

    def tell(self, what: str, *given: Any) -> None:
        """Call the method `what` of each, with a copy of what is given."""
        for sink in list(self._there):
            try:
                with foreign_code():
                    getattr(sink, what)(*copy.deepcopy(given))
            except Exception as error:  # whatever a stranger's tracker raises
                self._there.remove(sink)
                log.warning(
                    "trainer.sinks: %s failed at %s and is left out from here on: %s",
                    type(sink).__name__, what, reason_of(error),
                )  # fmt: skip
                with suppress(Exception), foreign_code():
                    if what != "close":
                        sink.close()

    def close(self) -> None:
        """Close all, once."""
        self.tell("close")
        self._there = []
