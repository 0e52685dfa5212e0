"""Draws a figure: as data for plotly.js, and as a PNG."""

from __future__ import annotations

import html
import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from her_exp.reporting.figures import Figure, Series
from her_exp.reporting.runs import Floats

#: Okabe and Ito's colours, which colour-blind people tell apart, without the yellow that paper swallows.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f", "#8c6bb1",
)  # fmt: skip
_LABEL = 44  # characters of a line of a legend
Trace = dict[str, Any]


def color(series: Series) -> str:
    """Return the colour of a group."""
    return PALETTE[series.color % len(PALETTE)]


def _rgba(series: Series, alpha: float) -> str:
    red, green, blue = (int(color(series)[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, _LABEL) or [text]


def _safe(text: str) -> str:
    """Return a label in lines for plotly, which reads a kind of HTML."""
    return "<br>".join(html.escape(line, quote=False) for line in _lines(text))


def _plain(values: Floats) -> list[float | None]:
    """Return numbers for JSON with six digits; what is not finite, and so not drawn, is null."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values.tolist()]


def _exact(values: Floats) -> list[float]:
    return [int(v) if v == int(v) else float(f"{v:.6g}") for v in values.tolist()]


def _gaps(lines: Sequence[Floats]) -> list[float | None]:
    """Join lines into one that breaks between them: one trace a group, not one a seed."""
    joined: list[float | None] = []
    for line in lines:
        joined += [*_plain(line), None]
    return joined


# --- plotly ------------------------------------------------------------------------------------


def to_plotly(figure: Figure) -> dict[str, Any]:
    """Return `name`, `data` and `layout` of a figure, to be embedded as JSON."""
    size, labels = len(figure.series), [_lines(s.label) for s in figure.series]
    if figure.rows:
        data = _rows(figure)
    else:  # bands, then thin lines, then curves: no group hides another's curve
        layers = [_traces(s, figure) for s in figure.series]
        data = [trace for layer in zip(*layers, strict=True) for trace in layer if trace]
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": _safe(figure.x_label), "standoff": 8},
            "automargin": True,
            "separatethousands": True,
        },
        "yaxis": {"title": {"text": _safe(figure.y_label)}, "automargin": True},
        "hovermode": "closest",
        "meta": {
            "height": (34 + 16 * max(map(len, labels))) * size if figure.rows else 270,
            "labels": [] if figure.rows else labels,
        },
    }
    if figure.rows:
        layout["xaxis"]["range"] = [-0.02, 1.02]
        layout["yaxis"] |= {
            "range": [size - 0.6, -0.9], "showticklabels": False, "showgrid": False, "zeroline": False,
        }  # fmt: skip
        layout["annotations"] = [
            {"text": _safe(s.label), "x": 0, "xref": "paper", "xanchor": "left", "align": "left",
             "y": row, "yanchor": "bottom", "yshift": 9, "showarrow": False}
            for row, s in enumerate(figure.series)
        ]  # fmt: skip
        layout["shapes"] = [
            {"type": "line", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1, "yref": "paper",
             "line": {"dash": "dot", "width": 1, "color": "#8a8f98"}}
        ]  # fmt: skip
    elif figure.share:
        layout["yaxis"] |= {"range": [-0.03, 1.03], "tickformat": ".0%"}
    return {"name": figure.name, "data": data, "layout": layout}


def _traces(s: Series, figure: Figure) -> tuple[Trace, Trace, Trace]:
    """Return band, thin lines and curve of a group, empty where there is none.

    They share a `legendgroup`, so that a click on the legend hides the three.
    """
    shared = {
        "type": "scatter",
        "mode": "lines",
        "name": _safe(s.label),
        "legendgroup": f"g{s.color}",
    }
    silent = {"hoverinfo": "skip", "showlegend": False}
    band, thin, line = Trace(), Trace(), Trace()
    if np.isfinite(s.low).any():
        band = shared | silent | {
            "x": [*_exact(s.x), *_exact(s.x[::-1])], "y": _plain(np.append(s.high, s.low[::-1])),
            "fill": "toself", "fillcolor": _rgba(s, 0.16), "line": {"width": 0},
        }  # fmt: skip
    if s.thin:
        thin = shared | silent | {
            "x": _gaps([x for _, x, _ in s.thin]), "y": _gaps([y for _, _, y in s.thin]),
            "line": {"width": 1, "color": _rgba(s, _faint(s))}, "showlegend": not len(s.x),
        }  # fmt: skip
    if len(s.x):
        number = ".1%" if figure.share else ".4g"
        interval = f" [%{{customdata[0]:{number}}}, %{{customdata[1]:{number}}}]"
        line = shared | {
            "x": _exact(s.x), "y": _plain(s.y), "line": {"width": 2.5, "color": color(s)},
            "mode": "lines+markers" if len(s.x) <= 30 else "lines", "marker": {"size": 5},
            "customdata": [list(pair) for pair in zip(_plain(s.low), _plain(s.high), strict=True)],
            "hovertemplate": f"<b>%{{fullData.name}}</b><br>%{{x:,.6~g}} {_safe(figure.x_label)}"
            f"<br>%{{y:{number}}}{interval if s.n > 1 else ''}<br>n = {s.n} seed{'s' * (s.n > 1)}"
            "<extra></extra>",
        }  # fmt: skip
    return band, thin, line


def _faint(s: Series) -> float:
    """Return the opacity of thin lines: the more there are, the fainter."""
    return max(0.1, 0.4 / (1 + len(s.thin) / 8))


def _rows(figure: Figure) -> list[Trace]:
    """Return a dot with its interval for each row, its label above it."""
    traces = []
    for row, s in enumerate(figure.series):
        value, low, high = (_plain(part)[0] for part in (s.y, s.low, s.high))
        known = low is not None and high is not None and value is not None
        spread = {"array": [high - value], "arrayminus": [value - low]} if known else {}  # type: ignore[operator]
        interval = f" [{low:.2f}, {high:.2f}]" if known else ", one seed: no interval"
        traces.append({
            "type": "scatter", "mode": "markers", "x": [value], "y": [row], "showlegend": False,
            "name": _safe(s.label), "marker": {"size": 10, "color": color(s)},
            "error_x": {"type": "data", "symmetric": False, "thickness": 2, "visible": known,
                        "color": color(s)} | spread,
            "hovertemplate": f"<b>%{{fullData.name}}</b><br>{value:.2f}{interval}<br>n &gt;= {s.n}"
            "<extra></extra>",
        })  # fmt: skip
    return traces


# --- matplotlib --------------------------------------------------------------------------------


def to_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG."""
    height = (
        0.9 + 0.35 * sum(len(_lines(s.label)) for s in figure.series)
        if figure.rows
        else 4.0 + 0.2 * len(figure.series)
    )
    canvas = Canvas(figsize=(7, height), dpi=140, layout="constrained")
    axes = canvas.add_subplot()
    if figure.rows:
        _png_rows(figure, axes)
    else:
        for s in figure.series:
            if s.thin:  # one line with gaps: hundreds of lines take seconds
                x, y = (np.concatenate([[*part, np.nan] for part in parts])
                        for parts in zip(*(line[1:] for line in s.thin), strict=True))  # fmt: skip
                axes.plot(x, y, color=color(s), alpha=_faint(s), linewidth=0.8)
            if len(s.x):
                if np.isfinite(s.low).any():
                    axes.fill_between(s.x, s.low, s.high, color=color(s), alpha=0.16, linewidth=0)
                axes.plot(
                    s.x,
                    s.y,
                    color=color(s),
                    linewidth=2,
                    zorder=3,
                    label=f"{_png(s.label)} (n={s.n})",
                )
        if figure.share:
            axes.set_ylim(-0.03, 1.03)
        if any(len(s.x) for s in figure.series):
            columns = 2 if max(len(s.label) for s in figure.series) < 36 else 1
            canvas.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=columns)
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    axes.set_title(figure.title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a sign that the font does not have
        canvas.savefig(path)


def _png(text: str) -> str:
    """Return a label as it stands: a dollar begins no formula, an underscore hides nothing."""
    return "\n".join(_lines(text)).replace("$", r"\$")


def _png_rows(figure: Figure, axes: Any) -> None:
    for row, s in enumerate(figure.series):
        axes.plot(s.y, [row], "o", color=color(s))
        if np.isfinite(s.low).all():
            axes.plot([s.low[0], s.high[0]], [row, row], color=color(s), linewidth=2)
    axes.axvline(0.5, color="0.5", linestyle=":", linewidth=1)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(figure.series) - 0.5, -0.5))
    axes.set_yticks(range(len(figure.series)), [_png(s.label) for s in figure.series], fontsize=8)
