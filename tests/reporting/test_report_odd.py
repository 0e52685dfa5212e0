"""One run of odd values never costs the page of the others: every leaf of every file, in turn."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from her_exp.report import report
from tests.reporting.report_kit import make_run, table

ODD = {
    "null": None, "truth": True, "negative": -3, "huge": 1e308, "large": 2**62, "400 digits": 10**400,
    "empty": "", "escapes": "\x1b[2J\n\r", "a formula": "=cmd|' /C calc'!A0", "long": "x" * 5000,
    "list": [1, [None]], "empty list": [], "mapping": {"a": {"b": [None]}}, "empty mapping": {},
    "infinity": float("inf"), "a secret": "${oc.env:SECRET}", "a tag": "<script>alert(1)</script>",
}  # fmt: skip
FILES: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "config.yaml": (yaml.safe_load, yaml.safe_dump),
    "run.json": (json.loads, json.dumps),
    "result.json": (json.loads, json.dumps),
}


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    each = list(enumerate(node)) if isinstance(node, list) else []
    each = list(node.items()) if isinstance(node, dict) else each
    for key, value in each:
        yield from leaves(value, (*path, key))


def put(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    node = copy.copy(node)
    node[path[0]] = put(node[path[0]], path[1:], value)
    return node


@pytest.mark.parametrize("odd", ODD)
def test_the_page_of_the_others_stands(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    root = tmp_path / "s"
    make_run(root / "good0", 0)
    make_run(root / "good1", 1)
    report(str(root))
    (alone,) = table(root / "report" / "final.csv")
    lost = [(9, "eval/success_final", 0.0)]
    for name, (load, dump) in FILES.items():
        content = load((make_run(tmp_path / name, 5, overrides=["env=nav2d"]) / name).read_text())
        for number, path in enumerate(leaves(content)):
            bad = make_run(root / f"{name}{number}", number + 5, overrides=["env=nav2d"], rows=lost)
            changed = json.dumps if odd == "400 digits" else dump  # YAML writes it as it is, too
            (bad / name).write_text(changed(put(content, path, ODD[odd])))
    page = report(str(root))
    rows = table(root / "report" / "final.csv")
    same = ("seeds", "success", "iqm", "steps_to_95")
    assert [row for row in rows if all(row[key] == alone[key] for key in same)]
    out, err = capsys.readouterr()
    everything = page.read_text() + "".join(p.read_text() for p in page.parent.glob("*.csv"))
    assert "hunter2" not in everything + out + err
    assert "\x1b" not in out + err
    assert "<script>alert(1)" not in page.read_text()
    for file in page.parent.glob("*.csv"):
        assert not any(cell.startswith(("=", "@")) for row in table(file) for cell in row.values())
