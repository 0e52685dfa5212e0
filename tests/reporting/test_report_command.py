"""her-report on a terminal: it refuses what is wrong in one line, and writes over nothing but its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from her_exp.report import command, main, report
from her_exp.types import UserError
from tests.reporting.report_kit import make_run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "runs is not set; give a folder, e.g. runs=outputs"),
        (["runs=nowhere"], "runs=nowhere: no such folder"),
        (["runs=[]"], "runs=[]: names no folder"),
        (["runs=" + "x" * 5000], "runs=" + "x" * 5000 + ": no such folder"),
        (["runs=."], "runs=.: no run in it; a run folder holds config.yaml, run.json and result.json, and "
         "python -m her_exp.train makes one"),
        (["file", "nowhere"], "runs=file: no such folder"),
        (["run=."], "unknown key run; the keys are runs, out"),
        (["runs=run", "out=file"], "out=file: cannot be written (File exists)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if "runs=run" in words:
        make_run(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["her-report", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"her_exp: error: {line}\n"


def test_missing_packages_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plotly", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    line = r"needs plotly and jinja2, not installed; pip install 'her_exp\[report\]'"
    with pytest.raises(UserError, match=line):
        command([f"runs={make_run(tmp_path / 'run')}"])
    with pytest.raises(UserError, match="no such folder"):  # first: to install will not help
        command([f"runs={tmp_path}/nowhere"])


def test_folders_that_stand_alone_are_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["s/buffer.k=0,seed=0_ab12", "s/buffer.k=0,seed=1_cd34"]
    for seed, name in enumerate(names):
        make_run(tmp_path / name, seed)
    printed = []
    for words in (["s"], names, [f"runs=[{','.join(names)}]"]):  # a shell writes out s/*
        assert command([*words, "out=page"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert printed[0].splitlines()[-1] == "page/index.html"


def test_files_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    out, runs = tmp_path / "mine", str(tmp_path / "s")
    out.mkdir()
    (out / "index.html").write_text("my page")
    make_run(tmp_path / "s" / "run0", 0)
    with pytest.raises(UserError, match="holds other files; give a new or an empty folder"):
        report(runs, out)
    assert (out / "index.html").read_text() == "my page"
    page = report(runs, tmp_path / "new")
    assert report(runs, tmp_path / "new") == page  # its own is written anew


def test_no_run_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (make_run(tmp_path / "s/a") / "config.yaml").unlink()
    command([f"runs={tmp_path}/s"])
    page = tmp_path / "s/report/index.html"
    assert capsys.readouterr().out.splitlines() == ["1 run: 1 unreadable", str(page)]
