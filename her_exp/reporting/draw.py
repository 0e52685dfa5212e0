"""Draws a figure for plotly.js, and as a PNG what plotly.js would draw."""

from __future__ import annotations

import html
import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import PercentFormatter

from her_exp.reporting.figures import Figure, Series
from her_exp.reporting.runs import Floats
from her_exp.reporting.words import TOO_SURE, percent

#: Okabe and Ito's colours, which colour-blind people tell apart, without the yellow that paper swallows.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f", "#8c6bb1",
)  # fmt: skip
_GREY, _GRID = "#8a8f98", "#e8eaee"
_LABEL = 44  # characters of a line of a legend
_MARKED = 30  # points of a curve that has a dot at each, at most
_SHARES = (-0.03, 1.03)  # range of an axis of shares
_POINTS = 72 * 7 / 580  # of a PNG, for a pixel of the page
Trace = dict[str, Any]


# --- plotly ------------------------------------------------------------------------------------


def to_plotly(figure: Figure) -> dict[str, Any]:
    """Return `name`, `data` and `layout` of a figure, to be embedded as JSON."""
    size, labels = len(figure.series), [_lines(s.name) for s in figure.series]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": _safe(figure.x_label), "standoff": 8}, "automargin": True,
                  "separatethousands": True},
        "yaxis": {"title": {"text": _safe(figure.y_label)}, "automargin": True},
        "hovermode": "closest",
        "meta": {"height": (34 + 16 * max(map(len, labels))) * size if figure.rows else 270,
                 "labels": [] if figure.rows else labels},
    }  # fmt: skip
    for axis in figure.percent:
        layout[f"{axis}axis"] |= {"range": _SHARES, "tickformat": ".1~%"}
    if figure.rows:
        data = [trace for row, s in enumerate(figure.series) for trace in _row(s, row)]
        layout["yaxis"] |= {"range": [size - 0.6, -0.9], "showticklabels": False, "showgrid": False,
                            "zeroline": False}  # fmt: skip
        layout["annotations"] = [
            {"text": _safe(s.name), "x": 0, "xref": "paper", "xanchor": "left", "align": "left",
             "y": row, "yanchor": "bottom", "yshift": 9, "showarrow": False}
            for row, s in enumerate(figure.series)
        ]  # fmt: skip
    else:  # bands, then thin lines, then curves: no group hides another's curve
        layers = [_curve(s, figure) for s in figure.series]
        data = [trace for layer in zip(*layers, strict=True) for trace in layer if trace]
    if (middle := figure.middle) is not None:
        line = {"dash": "dot", "width": 1, "color": _GREY}
        layout["shapes"] = [
            {"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper", "line": line,
             "layer": "below"}
        ]  # fmt: skip
    return {"name": figure.name, "data": data, "layout": layout}


def _curve(s: Series, figure: Figure) -> tuple[Trace, Trace, Trace]:
    """Return band, thin lines and curve of a group, empty where there is none.

    They share a `legendgroup`, so that a click on the legend hides the three.
    """
    shared = Trace(type="scatter", mode="lines", name=_safe(s.name), legendgroup=s.color)
    silent = shared | Trace(hoverinfo="skip", showlegend=False)
    band, thin, line = Trace(), Trace(), Trace()
    if np.isfinite(s.low).any():
        edge, high, low = s.x, s.high, s.low
        if figure.steps:
            edge, high, low = edge.repeat(2)[:-1], high.repeat(2)[1:], low.repeat(2)[1:]
        band = silent | {
            "x": _numbers([*edge, *edge[::-1]]), "y": _numbers([*high, *low[::-1]]),
            "fill": "toself", "fillcolor": _color(s, 0.16), "line": {"width": 0},
        }  # fmt: skip
    if s.thin:  # one line with gaps; the more lines there are, the fainter
        x, y = (
            [v for part in parts for v in (*_numbers(part), None)]
            for parts in zip(*s.thin, strict=True)
        )
        faint = _color(s, max(0.1, 0.4 / (1 + len(s.thin) / 8)))
        thin = silent | Trace(x=x, y=y, line={"width": 1, "color": faint}, showlegend=not len(s.x))
    if len(s.x):
        x_form, y_form = (".1~%" if axis in figure.percent else form
                          for axis, form in (("x", ",.6~g"), ("y", ".4g")))  # fmt: skip
        spread = f" (%{{customdata[0]:{y_form}}} to %{{customdata[1]:{y_form}}})" if band else ""
        line = shared | {
            "x": _numbers(s.x), "y": _numbers(s.y),
            "line": {"width": 2.5, "color": _color(s), "shape": "vh" if figure.steps else "linear"},
            "mode": "lines+markers" if len(s.x) <= _MARKED and not figure.steps else "lines",
            "marker": {"size": 5},
            "customdata": list(zip(_numbers(s.low), _numbers(s.high), strict=True)),
            "hovertemplate": f"<b>%{{fullData.name}}</b><br>%{{x:{x_form}}} {_safe(figure.x_label)}"
            f"<br>%{{y:{y_form}}}{spread}<extra></extra>",
        }  # fmt: skip
    return band, thin, line


def _row(s: Series, row: int) -> list[Trace]:
    """Return the seeds of a row, and its dot with the interval."""
    shared = Trace(type="scatter", mode="markers", name=_safe(s.name), showlegend=False)
    value, low, high = (float(part[0]) for part in (s.y, s.low, s.high))
    said, bar = percent(value), Trace()
    if math.isfinite(low):
        said += f" ({percent(low)} to {percent(high)})"
        bar["error_x"] = {"type": "data", "array": [high - value], "arrayminus": [value - low],
                          "thickness": 2, "width": 0, "color": _color(s)}  # fmt: skip
    dot = shared | bar | {
        "x": [value], "y": [row], "marker": {"size": 10, "color": _color(s)},
        "hovertemplate": f"<b>%{{fullData.name}}</b><br>{said}<extra></extra>",
    }  # fmt: skip
    seeds = [
        shared | {"x": _numbers(x), "y": [row] * len(x), "hoverinfo": "skip",
                  "marker": {"size": 5, "color": _color(s, 0.4)}}
        for x, _ in s.thin
    ]  # fmt: skip
    return [*seeds, dot]


def _color(s: Series, opacity: float = 1.0) -> str:
    """Return the colour of a group."""
    return f"{PALETTE[s.color % len(PALETTE)]}{round(255 * opacity):02x}"


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, _LABEL) or [text]


def _safe(text: str) -> str:
    """Return a label in lines for plotly, which reads a kind of HTML."""
    return "<br>".join(html.escape(line, quote=False) for line in _lines(text))


def _numbers(values: Sequence[float] | Floats) -> list[float | None]:
    """Return numbers for JSON with six digits; what is not finite, and so not drawn, is null."""
    finite = [float(v) if math.isfinite(v) else None for v in values]
    return [v and (int(v) if v.is_integer() else float(f"{v:.6g}")) for v in finite]


# --- matplotlib --------------------------------------------------------------------------------


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG: the traces and the layout that plotly.js is given, drawn anew."""
    drawn = to_plotly(figure)
    layout, labels = drawn["layout"], drawn["layout"]["meta"]["labels"]
    columns = 1 if any(len(lines) > 1 for lines in labels) else 2
    legend = sum(20 * max(map(len, labels)) for _ in labels[::columns])
    few = textwrap.wrap(TOO_SURE, 2 * _LABEL) if figure.marked else []
    height = (layout["meta"]["height"] + 84 + legend + 20 * len(few)) * _POINTS / 72
    canvas = Canvas(figsize=(7, height), dpi=140, layout="constrained")
    axes = canvas.add_subplot()
    for trace in drawn["data"]:
        _draw(axes, trace)
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        about = layout[f"{name}axis"]
        axis.set_major_formatter(PercentFormatter(1) if name in figure.percent else _number)
        axis.set_label_text(_text(about["title"]["text"]))
        if "range" in about:
            axes.set(**{f"{name}lim": about["range"]})
    for note in layout.get("annotations", ()):
        axes.annotate(_text(note["text"]), (0, note["y"]), (0, note["yshift"] * _POINTS),
                      ("axes fraction", "data"), "offset points",
                      bbox={"boxstyle": "square,pad=0.1", "color": "white"})  # fmt: skip
    for line in layout.get("shapes", ()):
        axes.axvline(line["x0"], color=_GREY, linestyle=":", linewidth=_POINTS)
    if figure.rows:
        axes.set_yticks([])
    elif axes.get_legend_handles_labels()[0]:
        canvas.legend(frameon=False, loc="outside lower center", ncols=columns)
    axes.set_xlabel("\n".join([axes.get_xlabel(), *few]))
    axes.set_title(figure.title, fontsize=12, fontweight="bold", loc="left")
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a sign that the font does not have
        canvas.savefig(png := io.BytesIO())
    return png.getvalue()


def _draw(axes: Any, trace: Trace) -> None:
    x, y = (np.array(trace[name], float) for name in "xy")
    if "fill" in trace:
        axes.fill(x, y, color=trace["fillcolor"], linewidth=0)
        return
    line, marker = trace.get("line", {"width": 0}), trace.get("marker", {"size": 0})
    color = line.get("color") or marker["color"]
    # A space before: a label that began with an underscore would be hidden.
    label = f" {_text(trace['name'])}" if trace.get("showlegend", True) else None
    dot = "o" if "markers" in trace["mode"] else ""
    style = "steps-pre" if line.get("shape") == "vh" else "default"
    axes.plot(x, y, color=color, linewidth=line["width"] * _POINTS, label=label, marker=dot, drawstyle=style,
              markersize=marker["size"] * _POINTS, markeredgewidth=0)  # fmt: skip
    if bar := trace.get("error_x"):
        ends = [x[0] - bar["arrayminus"][0], x[0] + bar["array"][0]]
        axes.plot(ends, [y[0]] * 2, color=color, linewidth=bar["thickness"] * _POINTS)


def _text(text: str) -> str:
    """Return a label of plotly's as it stands: a dollar begins no formula."""
    return html.unescape(text.replace("<br>", "\n")).replace("$", r"\$")


def _number(value: float, _: float) -> str:
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")
