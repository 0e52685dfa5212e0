"""Code that makes a command kill itself at a certain point: what it may use, and each such moment."""

from __future__ import annotations

#: What a prelude may use. `at(n)` kills at the n-th time that it is called.
TOOLS = """
import csv, io, os, signal
from pathlib import Path
import torch
calls = 0

def at(n):
    global calls
    calls += 1
    if calls == n:
        die()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def name_of(number):
    return Path(os.readlink(f"/proc/self/fd/{number}")).name

def around(owner, name, before=None, after=None):
    function = getattr(owner, name)
    def wrapper(*args, **kwargs):
        if before:
            before(*args, **kwargs)
        result = function(*args, **kwargs)
        if after:
            after(*args, **kwargs)
        return result
    setattr(owner, name, wrapper)

def half(write, which, n):
    # Write half of the n-th thing of a kind, and die.
    def save(state, file, *args, **kwargs):
        whole = io.BytesIO()
        write(state, whole, *args, **kwargs)
        data = whole.getvalue()
        if which(file):
            global calls
            calls += 1
            if calls == n:
                file.write(data[: len(data) // 2])
                file.flush()
                die()
        file.write(data)
    return save
"""
DEATHS = {
    "when the folder is locked and tells nothing yet": """
import fcntl
around(fcntl, "flock", after=lambda *a: at(1))""",
    "before run.json is there": """
around(Path, "replace", before=lambda path, to: path.name == "run.json.tmp" and at(1))""",
    "in the middle of the first state": """
torch.save = half(torch.save, lambda file: file.name.endswith("0152.pt.tmp"), 1)""",
    "in the middle of the third state": """
torch.save = half(torch.save, lambda file: "state_" in file.name, 3)""",
    "in the middle of a policy": """
torch.save = half(torch.save, lambda file: "last.pt" in file.name, 3)""",
    "before the state's fsync": """
around(os, "fsync", before=lambda number: "state_" in name_of(number) and at(2))""",
    "before the state's rename": """
around(Path, "replace", before=lambda path, to: "state_" in path.name and at(2))""",
    "after the state's rename": """
around(Path, "replace", after=lambda path, to: "state_" in path.name and at(3))""",
    "before the oldest state goes": """
around(Path, "unlink", before=lambda path, **k: "state_" in path.name and at(1))""",
    "before the policy's rename": """
around(Path, "replace", before=lambda path, to: path.name == "best.pt.tmp" and at(1))""",
    "before the fsync of metrics.csv": """
around(os, "fsync", before=lambda number: name_of(number) == "metrics.csv" and at(2))""",
    "in the middle of a row of metrics.csv": """
class Torn:
    def __init__(self, file):
        self.file, self.rows, self.writer = file, 0, csv._writer(file)
    def writerow(self, row):
        self.rows += 1
        if self.rows == 120:
            text = ",".join(map(str, row))
            self.file.write(text[: len(text) // 2])
            self.file.flush()
            die()
        self.writer.writerow(row)
csv.writer, csv._writer = Torn, csv.writer""",
    "in the middle of a record of the event file": """
from tensorboard.summary.writer import record_writer
write = record_writer.RecordWriter.write
class Half:
    def __init__(self, file):
        self.file = file
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        die()
def torn(self, data):
    global calls
    calls += 1
    if calls == 150:
        self._writer = Half(self._writer)
    write(self, data)
record_writer.RecordWriter.write = torn""",
    "between the last state and the word done": """
import json
done = lambda path: json.loads(path.read_text())["status"] == "done"
around(Path, "replace", before=lambda path, to: path.name == "result.json.tmp" and done(path)
       and die())""",
}
