"""What a report says in words: which intervals are too sure, what ran, what groups share."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from her_exp.report import command, report
from tests.reporting.report_kit import data_of, make_run, sweep, table

TOO_SURE = "† fewer than 5 seeds"


def cells(page: str) -> dict[str, list[str]]:
    """The rows of the table Final success, as text: its first cell to the others."""
    section = page.partition("<h2>Final success</h2>")[2].partition("</section>")[0]
    rows = {}
    for row in section.partition("<tbody>")[2].split("<tr>")[1:]:
        texts = [
            unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row)
        ]
        rows[texts[0]] = texts[1:]
    return rows


def test_the_head_names_tasks_and_agents(tmp_path: Path) -> None:
    for number, (words, *wanted) in enumerate([
        ("", "Report: ddpg on point_reach", "One group: its runs differ in their seed only."),
        ("buffer.k=8", "Report: ddpg on point_reach",
         "All groups: agent ddpg, task point_reach. They differ in buffer.k."),
        ("env=nav2d agent=sac", "Report: sac and ddpg on nav2d and point_reach",
         "They differ in task, agent, buffer.k."),
    ]):  # fmt: skip
        make_run(tmp_path / "s" / str(number), overrides=words.split())
        head = report(str(tmp_path / "s")).read_text().partition("</header>")[0]
        found = [
            *re.findall("<h1>(.*)</h1>", head),
            *re.findall('<p class="facts">(.*)</p>', head)[-1:],
        ]
        assert [unescape(text) for text in found] == wanted
        assert f"<title>{found[0]}</title>" in head


@pytest.mark.parametrize("few", [True, False])
def test_few_seeds_are_marked_where_their_intervals_stand(few: bool, tmp_path: Path) -> None:
    root = sweep(tmp_path / "s", ks=(4, 8), seeds=5)
    if few:
        sweep(root, ks=(0,), seeds=2)
        sweep(root, ks=(2,), seeds=1)
    page = report(str(root)).read_text()
    shown = cells(page)
    assert [row[4].endswith("†") for row in shown.values()] == [True, True] * few + [False, False]
    assert page.partition("</table>")[2].count(f'<p class="few">{TOO_SURE}') == few
    for figure in data_of(root / "report/index.html")["figures"]:
        marks = re.findall(r"\(n=(\d)\)( †)?", " ".join(trace["name"] for trace in figure["data"]))
        assert {(int(n) < 5, bool(mark)) for n, mark in marks} <= {(True, True), (False, False)}
        # The sign is explained in the caption of each figure that has it.
        caption = page.partition(f'id="figure-{figure["name"]}"')[0].rpartition("<figcaption>")[2]
        assert (TOO_SURE in caption) == any(mark for _, mark in marks) == few
    # A CSV has no marks.
    assert "†" not in "".join(path.read_text() for path in (root / "report").glob("*.csv"))


def test_the_terminal_shows_the_numbers_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of steps to 95% the median over seeds: one that never came there is later than all others."""
    root = tmp_path / "s"
    for seed, steps in enumerate([1300, 200, None]):
        reached = {"0.95": {"env_steps": steps, "train_seconds": steps / 10}} if steps else {}
        make_run(root / f"a{seed}", seed, 4, reached=reached)
        make_run(root / f"b{seed}", seed, 0, reached=reached if seed else {})
    make_run(root / "c", 3, 0, status="failed", reason="nan")
    make_run(root / "d", 4, 0, status="stopped", reason="SIGTERM")
    make_run(root / "e", 5, 0, status="running")
    assert command([f"runs={root}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(root / "report/index.html")
    assert lines[-2] == "9 runs: 6 done, 1 failed, 1 stopped, 1 killed"
    head = ["group", "seeds", "success, pooled", "success, IQM", "env steps to 95%"]
    assert re.split(r"  +", lines[0]) == head
    page = cells((root / "report/index.html").read_text())
    assert list(page) == ["buffer.k=0", "buffer.k=4"]
    for line, (group, shown) in zip(lines[1:3], page.items(), strict=True):
        assert re.split(r"  +", line) == [group, *(shown[column] for column in (5, 0, 4, 2))]
    assert page["buffer.k=0"][5] == "3 of 6 runs"
    assert (page["buffer.k=0"][2], page["buffer.k=4"][2]) == ("-", "1,300")
    assert lines[3].startswith(TOO_SURE)
    few, many = table(root / "report/final.csv")
    columns = ("reached_95", "steps_to_95", "seconds_to_95")
    assert [many[column] for column in columns] == ["2", "1300.0", "130.0"]
    assert [few[column] for column in columns] == ["1", "", ""]
