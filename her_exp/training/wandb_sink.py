"""A run at Weights & Biases, one there however often it is stopped and goes on here."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from her_exp.limits import check_arguments
from her_exp.store.files import open_file, read_json, write_json
from her_exp.store.folder import METRICS
from her_exp.training.sinks import Sink
from her_exp.types import UserError

#: In the run folder: which run it is there, and up to which env step that has all numbers.
_RUN, _TOLD = "wandb.json", "wandb_steps.txt"
_AXIS = "env_steps"


class WandbSink(Sink):
    """Numbers, pictures, config and result at Weights & Biases, under the name of the run folder.

    The run's id there is kept in the run folder, so that a run that goes on is the same there. It has then
    been told some numbers that come again, past the checkpoint: these are not told twice. W&B itself would
    keep both rows, since the axis is not its own step.

    Args:
        project: where it is listed.
        entity: user or team; None: W&B's own default.
        group: name of runs that belong together, e.g. a sweep's.
        mode: 'online', 'offline' (`wandb sync` uploads it) or 'disabled'; None: as WANDB_MODE says.
    """

    def __init__(
        self,
        project: str = "her_exp",
        entity: str | None = None,
        group: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
    ):
        check_arguments(WandbSink, locals())
        if find_spec("wandb") is None:
            raise UserError("needs wandb; pip install 'her_exp[wandb]'")
        self._asked: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "group": group,
            "mode": mode,
        }
        self._row: dict[str, Any] = {}
        self._at, self._code = 0, 1
        self._run: Any = None

    def begin(self, folder: Path, config: Mapping[str, Any], resumed: int | None) -> None:
        """Begin a run there, or go on with it."""
        import wandb

        if (folder / "wandb").is_symlink():
            raise UserError(f"{folder / 'wandb'}: is a link, which is not written to")
        self._folder = folder
        id = read_json(folder, _RUN).get("id") if resumed is not None else None
        first = not isinstance(id, str) or not id.isalnum()
        if first:
            id = uuid.uuid4().hex[:12]
            write_json(folder, _RUN, {"id": id})
            with open_file(folder, _TOLD, "w") as file:
                file.write(" " * 20)
        with open_file(folder, _TOLD) as file:
            text = file.read(20)
        told = int(text) if text.isdecimal() else -1
        self._repeated = range(resumed + 1 if resumed else 0, told + 1)
        # Its own object: with hydra/launcher=batched several runs are open at once.
        self._run = wandb.init(
            **self._asked, id=id, name=folder.name, dir=folder, config=dict(config),
            resume="allow", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )  # fmt: skip
        self._run.define_metric(_AXIS)
        self._run.define_metric("*", step_metric=_AXIS)
        if resumed:  # the row of the checkpoint's step was perhaps waiting when the run was killed
            with open_file(folder, METRICS, newline="") as file:
                for row in csv.DictReader(file):
                    if told < int(row["env_steps"]) <= resumed:
                        self._add({row["tag"]: float(row["value"])}, int(row["env_steps"]))

    def scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Add to the row of an env step."""
        self._add(values, env_steps)

    def picture(self, tag: str, image: NDArray[np.uint8], env_steps: int) -> None:
        """Add a picture to it."""
        import wandb

        self._add({tag: wandb.Image(image)}, env_steps)

    def _add(self, values: Mapping[str, Any], env_steps: int) -> None:
        if env_steps in self._repeated:
            return
        if env_steps != self._at and self._row:  # no more will come of the one before
            self._hand_over()
            self._mark(self._at)
        self._at = env_steps
        self._row |= values

    def _mark(self, env_steps: int) -> None:
        with open_file(self._folder, _TOLD, "r+") as file:
            file.write(f"{env_steps:020d}")  # in place: a kill leaves the old or the new number

    def _hand_over(self) -> None:
        row, self._row = self._row, {}
        if row:
            self._run.log({_AXIS: self._at, **row})

    def result(self, content: Mapping[str, Any]) -> None:
        """Show `result.json` in the run's summary."""
        self._run.summary.update({"result": dict(content)})
        self._code = int(content["status"] != "done")

    def close(self) -> None:
        """End the run there: as finished if it is done, else as failed, until it goes on."""
        if self._run is not None:
            self._hand_over()
            self._run.finish(exit_code=self._code)
