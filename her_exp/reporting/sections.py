"""The sections of the page, in the order in which they are read."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from her_exp.reporting import draw
from her_exp.reporting.figures import FEW, Figure
from her_exp.reporting.groups import Group, show
from her_exp.reporting.markup import Html, el, table
from her_exp.reporting.tables import Row

_VALUES = 12  # of a setting that are listed
_SEEDS = 8  # whose success is listed
_NONE = "-"
TOO_SURE = (
    f"† fewer than {FEW} seeds: the bootstrap interval is too narrow; it has no width where all agree, "
    "and of one seed there is none"
)


@dataclass
class Content:
    """What a page shows."""

    title: str
    states: str  #: how many runs there are, and what became of them
    facts: Sequence[str]
    notes: Sequence[str]
    groups: Sequence[Group]
    drawn: Sequence[Group]
    final: Sequence[Row]
    figures: Sequence[Figure]
    hyperparameters: Sequence[Row]
    pictures: Sequence[tuple[str, str, bytes | None]]  #: group, which run, PNG
    runs: Sequence[Row]
    links: Mapping[str, str]  #: run folder to its path from the page


# --- words for numbers -------------------------------------------------------------------------


def share(value: float) -> str:
    """Return a share in per cent, or a dash."""
    return _NONE if math.isnan(value) else f"{100 * value:.1f}".removesuffix(".0") + " %"


def count(value: float, unit: str = "") -> str:
    """Return a number of steps or seconds, or a dash."""
    if math.isnan(value):
        return _NONE
    return (f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}") + unit


def spread(row: Row, key: str) -> str:
    """Return the interval of a number in a row, in brackets, or nothing."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return "" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f})"


def seeds_of(row: Row) -> str:
    """Return how many seeds count, and of how many runs where that says more."""
    return str(row["seeds"]) + (f" of {row['runs']} runs" if row["seeds"] < row["runs"] else "")


def sure(row: Row) -> bool:
    """Say whether a row's bootstrap interval needs no mark: of no seed there is no number to mark."""
    return not 0 < row["seeds"] < FEW


def _with_interval(row: Row, key: str, mark: str = "") -> Html:
    parts = [el("b", share(row[key])), spread(row, key)]
    return el("span", parts, [" ", el("b", mark, cls="mark")] if mark else [])


# --- sections ----------------------------------------------------------------------------------


def _header(content: Content) -> Html:
    parts = [el("h1", content.title), el("p", " · ".join(content.facts), cls="facts")]
    keys = list(dict.fromkeys(key for group in content.groups for key in group.differs))
    if keys:
        rows = [
            [
                _swatch(group, content),
                *(show(group.differs[k]) if k in group.differs else _NONE for k in keys),
            ]
            for group in content.groups
        ]
        parts += [el("h2", "What differs"), table(["group", *keys], rows)]
    elif content.groups:
        parts.append(
            el("p", f"One group: {content.groups[0].label}. The runs differ in their seed only.")
        )
    if content.notes:
        parts.append(el("ul", (el("li", note) for note in content.notes), cls="notes"))
    return el("header", parts)


def _swatch(group: Group, content: Content) -> Html:
    """Return a group's label behind a dot of its colour, where figures show it."""
    places = [i for i, one in enumerate(content.drawn) if one is group]
    if not places:
        return el("span", group.label)
    paint = draw.PALETTE[places[0] % len(draw.PALETTE)]
    return el("span", el("i", cls="dot", style=f"background:{paint}"), group.label, cls="group")


def _final(content: Content) -> Html:
    head = [
        "group", "seeds", "success, pooled (Wilson)", "success, IQM (bootstrap)", "reached 95 %",
        "env steps to it", "seconds to it", "env steps", "seconds", "each seed",
    ]  # fmt: skip
    rows = []
    for group, r in zip(content.groups, content.final, strict=True):
        seeds = [share(value).removesuffix(" %") for value in r["each_seed"]]
        more = [f"… ({len(seeds)})"] if len(seeds) > _SEEDS else []
        rows.append([
            _swatch(group, content),
            seeds_of(r), _with_interval(r, "success"), _with_interval(r, "iqm", "" if sure(r) else "†"),
            f"{r['reached_95']} of {r['seeds']}", count(r["steps_to_95"]), count(r["seconds_to_95"], " s"),
            count(r["env_steps"]), count(r["train_seconds"], " s"), ", ".join(seeds[:_SEEDS] + more),
        ])  # fmt: skip
    marked = [] if all(map(sure, content.final)) else [el("p", f"{TOO_SURE}.", cls="few")]
    return el(
        "section", el("h2", "Final success"),
        el("p", "Success at the last step of the last evaluation of each run that is done. Pooled: all "
           "episodes of all seeds together. IQM: the interquartile mean over seeds, which is the mean "
           "where there are fewer than 4. In brackets: 95 % intervals. Steps and training seconds to "
           "95 % and of the whole run are medians over seeds; a dash where half of them never came "
           "there.", cls="lead"),
        table(head, rows, cls="numbers"), marked, _files("final.csv"),
    )  # fmt: skip


def _files(*names: str) -> Html:
    links = (el("a", name.rpartition(".")[2].upper(), href=quote(name)) for name in names)
    return el("p", links, cls="files")


def _figure(content: Content, *names: str) -> Html:
    cards = []
    for figure in content.figures:
        if figure.name in names:
            csv = "improvement" if figure.rows else figure.name
            cards.append(el(
                "figure", el("figcaption", el("h3", figure.title), el("p", figure.note)),
                el("div", id=f"figure-{figure.name}", cls="plot"),
                _files(f"{figure.name}.png", f"{csv}.csv"),
            ))  # fmt: skip
    return el("div", cards, cls="figures")


def _evaluation(content: Content) -> Html:
    return el(
        "section", el("h2", "Evaluation"), _figure(content, "success_steps", "success_seconds")
    )


def _training(content: Content) -> Html:
    names = ("return", "success", "final_distance", "critic_loss", "actor_loss", "q_mean")
    return el("section", el("h2", "Training"), _figure(content, *names))


def _comparison(content: Content) -> Html:
    shown = _figure(content, "improvement", "profile")
    if not any(figure.name == "improvement" for figure in content.figures):
        why = "Two groups of the same task with runs that are done are needed to compare them."
        return el("section", el("h2", "Comparison"), el("p", why, cls="lead"), shown)
    return el("section", el("h2", "Comparison"), shown)


def _hyperparameters(content: Content) -> Html:
    by_key: dict[str, list[Row]] = {}
    for row in content.hyperparameters:
        by_key.setdefault(row["key"], []).append(row)
    head = ["setting", "value", "what it is"]
    different = [_setting(rows) for rows in by_key.values() if rows[0]["differs"]]
    same = [_setting(rows) for rows in by_key.values() if not rows[0]["differs"]]
    parts = [table(head, different, cls="settings")] if different else []
    if same:
        words = f"{len(same)} settings that are the same in all groups"
        box = el("details", el("summary", words), table(head, same, cls="settings"))
        parts.append(box if different else table(head, same, cls="settings"))
    lead = "◆ differs between groups. The explanations are those of the files under conf/."
    return el("section", el("h2", "Hyperparameters"), el("p", lead, cls="lead"), parts,
              _files("hyperparameters.csv"))  # fmt: skip


def _setting(rows: Sequence[Row]) -> list[str]:
    """Return the cells of a setting: one value, or each value with its groups."""
    first = rows[0]
    if not first["differs"]:
        return [first["key"], first["value"], first["explanation"] or _NONE]
    lines = [
        el("div", el("code", row["value"]), el("small", " ", "; ".join(row["groups"])))
        for row in rows[:_VALUES]
    ]
    more = [el("small", f"and {len(rows) - _VALUES} values more")] if len(rows) > _VALUES else []
    return [el("b", "◆ ", first["key"]), el("div", lines, more), first["explanation"] or _NONE]


def _pictures(content: Content) -> Html:
    cards = []
    for label, which, image in content.pictures:
        caption = el("figcaption", el("h3", label), el("p", which))
        if image is None:
            picture = el("p", "no picture in its event file", cls="none")
        else:
            data = "data:image/png;base64," + base64.b64encode(image).decode()
            picture = Html(el("img", alt=f"paths of {label}", src=data).removesuffix("</img>"))
        cards.append(el("figure", caption, picture))
    why = (
        "The last evaluation that a seed drew: paths to their goals or, where goals are no points, the "
        "distance to them step by step; green where the goal was met at the end, else red."
    )
    return el(
        "section", el("h2", "What the policies do"), el("p", why, cls="lead"),
        el("div", cards, cls="pictures"),
    )  # fmt: skip


def _runs(content: Content) -> Html:
    head = ["run", "group", "seed", "status", "success", "env steps", "seconds", "warnings", "how"]
    rows = []
    for r in content.runs:
        link = content.links[r["folder"]]
        status = r["status"] + ("" if r["counted"] or r["status"] != "done" else ", not counted")
        how = [
            (key, r[key])
            for key in ("command", "started", "ended", "commit", "versions", "machine")
        ]
        went_on = _went_on(r["resumed"])
        how[2] = ("ended", ", ".join(filter(None, [r["ended"], went_on])))
        details = el(
            "details", el("summary", "command, commit, versions, machine"),
            el("dl", [Html(el("dt", key) + el("dd", value or _NONE)) for key, value in how]),
        )  # fmt: skip
        rows.append([
            el("a", Path(r["folder"]).name or r["folder"], href=quote(os.fsencode(link)) + "/"),
            r["group"] or _NONE, r["seed"],
            el("div", el("b", status, cls=f"s-{'done' if r['counted'] else 'not'}"),
               [el("div", r["reason"])] if r["reason"] else []),
            share(r["success"]), count(r["env_steps"]), count(r["train_seconds"]),
            el("div", (el("div", line) for line in r["warnings"])) if r["warnings"] else _NONE, details,
        ])  # fmt: skip
    return el("section", el("h2", "Runs"), table(head, rows, cls="runs"), _files("runs.csv"))


def _went_on(times: int) -> str:
    return f"went on {'once' if times == 1 else f'{times} times'}" if times else ""


#: All of them.
SECTIONS = (
    _header, _final, _evaluation, _training, _comparison, _hyperparameters, _pictures, _runs,
)  # fmt: skip
