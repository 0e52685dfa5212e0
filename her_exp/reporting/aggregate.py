"""Puts each group's curve into TensorBoard, as a run beside the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from her_exp.config.hydra_api import path_safe
from her_exp.reporting.figures import SUCCESS, curve
from her_exp.reporting.groups import Group

#: The end of the names of the files that are ours to replace.
_SUFFIX = ".her_report"
_TAGS = (SUCCESS, f"{SUCCESS}/low", f"{SUCCESS}/high")
_CHART = {"groups": {"evaluation success: IQM and its 95% interval": ["Margin", _TAGS]}}


def write(groups: Sequence[Group], folder: Path) -> None:
    """Write each group's curve as a run of TensorBoard, in place of what the report before wrote.

    The curve has the tag of the runs' own, so that TensorBoard draws them together; a chart under
    "Custom scalars" draws it with its band.
    """
    for old in folder.glob(f"*/events.out.tfevents.*{_SUFFIX}"):
        old.unlink()
        if not any(old.parent.iterdir()):
            old.parent.rmdir()
    written: set[str] = set()
    for group in groups:
        line = curve(group.counted, lambda run: run.points(SUCCESS))
        if not len(line.x):
            continue
        name = path_safe(group.label.replace(", ", ","))
        while name in written:
            name += "_"
        written.add(name)
        with SummaryWriter(str(folder / name), filename_suffix=_SUFFIX) as writer:
            writer.add_custom_scalars(_CHART)
            for tag, values in zip(_TAGS, (line.y, line.low, line.high), strict=True):
                for x, y in zip(line.x.tolist(), values.tolist(), strict=True):
                    if y == y:
                        writer.add_scalar(tag, y, round(x))
