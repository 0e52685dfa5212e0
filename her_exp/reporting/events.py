"""What a report reads from TensorBoard's event files, and the groups' curves that it puts there."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from her_exp.config.hydra_api import path_safe
from her_exp.reporting.figures import curve
from her_exp.reporting.groups import Group
from her_exp.reporting.runs import Run
from her_exp.store.files import open_file
from her_exp.store.folder import EVENTS

PICTURE = "eval/paths"
SUCCESS = "eval/success_final"
#: The end of the names of the files that are ours to replace.
_SUFFIX = ".her_report"
_LARGEST = 50_000_000  # bytes of an event
_SIDE = 4096  # pixels of a picture


# --- reading -----------------------------------------------------------------------------------


def last_picture(run: Run) -> bytes | None:
    """Return the newest picture of a run's trajectories as PNG, or None; damage is noted in the run."""
    for path in sorted(run.folder.glob(EVENTS), reverse=True):
        newest = None
        try:
            for record in _records(path):
                if PICTURE.encode() in record:
                    newest = record
        except (OSError, ValueError) as error:
            if run.status != "running":  # whose last event is still being written
                run.problems.append(f"{path.name}: {error}; what comes after is left out")
        if newest is not None:
            try:
                return _picture(newest)
            except (DecodeError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                run.problems.append(f"{path.name}: its last picture cannot be read")
    return None


def _records(path: Path) -> Iterator[bytes]:
    """Walk the records of an event file: length (8 bytes), its checksum (4), data, checksum (4).

    Raises:
        ValueError: the file ends within a record, or a length is no length.
    """
    with open_file(path.parent, path.name, "rb") as file:
        while head := file.read(12):
            size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            data = file.read(size + 4) if 0 < size <= _LARGEST else b""
            if len(data) < size + 4 or not data:
                raise ValueError("damaged or cut off")
            yield data[:-4]


def _picture(record: bytes) -> bytes | None:
    """Decode and encode again: what goes onto the page is a picture and nothing else."""
    for value in event_pb2.Event.FromString(record).summary.value:
        if value.tag == PICTURE:
            with Image.open(io.BytesIO(value.image.encoded_image_string), formats=["PNG"]) as image:
                if max(image.size) > _SIDE:
                    raise ValueError("too large")
                out = io.BytesIO()
                image.convert("RGB").save(out, "PNG")
                return out.getvalue()
    return None


# --- writing -----------------------------------------------------------------------------------


def write_aggregates(groups: Sequence[Group], folder: Path) -> list[Path]:
    """Write each group's curve as a run of TensorBoard, in place of what the report before wrote.

    The curve has the tag of the runs' own, so that TensorBoard draws them together; a chart under
    "Custom scalars" draws it with its band.
    """
    for old in folder.glob(f"*/events.out.tfevents.*{_SUFFIX}"):
        old.unlink()
        if not any(old.parent.iterdir()):
            old.parent.rmdir()
    written: list[Path] = []
    for group in groups:
        line = curve(group.counted, lambda run: run.points(SUCCESS))
        if not len(line.x):
            continue
        name = path_safe(group.label.replace(", ", ","))
        while folder / name in written:
            name += "_"
        written.append(folder / name)
        writer = EventFileWriter(str(folder / name), filename_suffix=_SUFFIX)
        writer.add_event(_event(0, _layout()))
        for tag, values in (("", line.y), ("/low", line.low), ("/high", line.high)):
            for x, y in zip(line.x.tolist(), values.tolist(), strict=True):
                if y == y:
                    value = summary_pb2.Summary.Value(tag=SUCCESS + tag, simple_value=y)
                    writer.add_event(_event(round(x), value))
        writer.close()
    return written


def _event(step: int, value: summary_pb2.Summary.Value) -> event_pb2.Event:
    summary = summary_pb2.Summary(value=[value])
    return event_pb2.Event(step=step, wall_time=time.time(), summary=summary)


def _layout() -> summary_pb2.Summary.Value:
    margin = layout_pb2.MarginChartContent(
        series=[{"value": SUCCESS, "lower": f"{SUCCESS}/low", "upper": f"{SUCCESS}/high"}]
    )
    chart = layout_pb2.Chart(title="evaluation success: IQM and its 95 % interval", margin=margin)
    layout = layout_pb2.Layout(category=[{"title": "groups", "chart": [chart]}])
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[layout.SerializeToString()], tensor_shape={}
    )
    return summary_pb2.Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata()
    )
