"""Where a run's numbers go: TensorBoard, `metrics.csv`, `result.json`, sinks, and a bar on a terminal."""

from __future__ import annotations

import csv
import io
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summaries
from tqdm import tqdm

from her_exp.store.files import open_file, write_bytes, write_json
from her_exp.store.folder import METRICS, PATHS_LAST, RESULT, check_ours
from her_exp.training.sinks import Sink, Sinks
from her_exp.types import UserError

log = logging.getLogger(__name__)

CSV_HEADER = ("env_steps", "tag", "value")
#: What TensorBoard shows on one page, under "Custom scalars": charts and the tags in them, as patterns.
CHARTS = {
    "success": [r"eval/success_final$", r"rollout/success_mean_100$"],
    "return": [r"eval/return$", r"rollout/return$"],
    "critic loss": [r"train/critic_loss$"],
    "actor loss": [r"train/actor_loss$"],
    "mean Q": [r"train/q_mean$"],
}


#: Figures of a run in the table of hyperparameters.
METRICS_SHOWN = ("eval/success_final", "eval/return")


class HParams(NamedTuple):
    """A run's line in TensorBoard's table of hyperparameters."""

    settings: dict[str, Any]
    shown: list[str]  #: its columns


class RunLogger:
    """Writes into one run folder. Use as a context manager: everything is closed on any exit.

    Args:
        folder: the run folder; it exists.
        total_steps: env steps of the whole run, for the bar.
        progress: True or False; None: where stderr is a terminal.
        position: of a run that is continued, what `position` gave when it was saved.
        config: what sinks are told of the run's settings.
    """

    def __init__(
        self,
        folder: str | Path,
        total_steps: int,
        progress: bool | None = None,
        position: Mapping[str, int] | None = None,
        config: Mapping[str, Any] | None = None,
    ):
        self.folder = Path(folder)
        self.sinks = Sinks(())
        self._about = config or {}, None if position is None else position["env_steps"]
        # A new event file goes on; what the one before wrote past the checkpoint is hidden.
        purge = None if position is None else position["env_steps"] + 1
        self._writer = SummaryWriter(str(self.folder), flush_secs=10, purge_step=purge)
        if position is None:  # of a run that is continued it stands in the first file
            layout = {name: ["Multiline", tags] for name, tags in CHARTS.items()}
            self._writer.add_custom_scalars({"her_exp": layout})
        self._file = open_file(self.folder, METRICS, "a", newline="")
        self._csv = csv.writer(self._file)
        self._latest = 0
        if position is not None:
            there = self._file.seek(0, os.SEEK_END)
            if there < position["csv_bytes"]:
                log.warning("%s has lost rows since the checkpoint", self.folder / METRICS)
            self._file.truncate(min(there, position["csv_bytes"]))
            self._latest = position["env_steps"]
        if self._file.seek(0, os.SEEK_END) == 0:
            self._csv.writerow(CSV_HEADER)
        show = sys.stderr.isatty() if progress is None else progress
        self.shows_bar = show
        self._bar = tqdm(
            total=total_steps, unit="step", disable=not show, dynamic_ncols=True, smoothing=0.1
        )

    def __enter__(self) -> RunLogger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, sinks: Sequence[Sink]) -> None:
        """Tell these sinks as well, from here on."""
        self.sinks = Sinks(sinks)
        self.sinks.tell("begin", self.folder, *self._about)

    def scalars(self, values: Mapping[str, float], env_steps: int) -> None:
        """Write `values` (tag to number) at `env_steps`; a tag is `group/name`."""
        self._latest = env_steps
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, env_steps)
            self._csv.writerow((env_steps, tag, repr(float(value))))
        self.sinks.tell("scalars", {tag: float(value) for tag, value in values.items()}, env_steps)

    def picture(self, tag: str, image: NDArray[np.uint8], env_steps: int) -> None:
        """Put a picture (height, width, 3) into TensorBoard, and keep the last one as a file.

        A file that cannot be written is warned of: no picture is worth a run.
        """
        self._writer.add_image(tag, image, env_steps, dataformats="HWC")
        check_ours(self.folder)
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        try:
            write_bytes(self.folder, PATHS_LAST, png.getvalue())
        except OSError as error:
            reason = error.strerror or error
            log.warning("%s cannot be written (%s)", self.folder / PATHS_LAST, reason)
        self.sinks.tell("picture", tag, image, env_steps)

    def hparams(self, hparams: HParams) -> None:
        """Enter the run in TensorBoard's table of hyperparameters, within this run's own event file.

        TensorBoard takes the columns from any one of the runs that it shows.
        """
        # SummaryWriter.add_hparams would make a second run beside this one.
        plain = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in hparams.settings.items()
        }
        figures = dict.fromkeys(METRICS_SHOWN, 0.0)  # their values are the scalars of these names
        table, *_ = hparams_summaries({key: plain[key] for key in hparams.shown}, figures)
        _, *session = hparams_summaries(plain, figures)
        for summary in (table, *session):
            self._writer.file_writer.add_summary(summary)

    def result(self, content: Mapping[str, Any]) -> None:
        """Write `result.json`; sinks hear it, too, where it cannot be written."""
        try:
            check_ours(self.folder)
            write_json(self.folder, RESULT, dict(content))
        finally:
            self.sinks.tell("result", dict(content))

    def progress(self, env_steps: int, success: float | None) -> None:
        """Move the bar; `success` is the latest evaluation's."""
        if success is not None:
            self._bar.set_postfix_str(f"success {success:.0%}", refresh=False)
        self._bar.update(env_steps - self._bar.n)

    def flush(self) -> None:
        """Bring everything to the disk's cache."""
        self._writer.flush()
        self._file.flush()

    def position(self) -> dict[str, int]:
        """Bring everything onto the disk; returns where the log stands, to be saved.

        Raises:
            UserError: the folder is gone, or `metrics.csv` was taken away.
        """
        check_ours(self.folder)
        self.flush()
        try:
            same = os.path.samestat((self.folder / METRICS).lstat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            same = False
        if not same:
            raise UserError(
                f"{self.folder / METRICS}: was removed or replaced while the run was on"
            )
        os.fsync(self._file.fileno())
        return {"csv_bytes": self._file.tell(), "env_steps": self._latest}

    def close(self) -> None:
        """Close what was opened, but the sinks, which hear of the end; twice is harmless."""
        self._bar.close()
        if not self._file.closed:
            self.flush()
            self._file.close()
            self._writer.close()
