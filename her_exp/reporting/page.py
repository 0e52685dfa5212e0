"""The page: one HTML file that holds its numbers, its pictures, its files and plotly.js.

What comes from a run folder is a stranger's text. The template escapes every text, the figures' data
cannot end its script element, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from her_exp.reporting import draw, words
from her_exp.reporting.figures import WINDOW, Figure, Row
from her_exp.reporting.groups import Group, show

_HERE = Path(__file__).parent


def render(
    *, groups: Sequence[Group], drawn: Sequence[Group], final: Sequence[Row],
    figures: Sequence[Figure], **more: Any,
) -> str:  # fmt: skip
    """Return the page; `more` is what page.html shows besides."""
    scripts = [get_plotlyjs(), (_HERE / "page.js").read_text()]
    env = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    env.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    env.filters |= {
        "percent": words.percent, "count": words.count, "show": show, "uri": _uri,
        "last_part": lambda folder: Path(folder).name or folder,
    }  # fmt: skip
    return env.get_template("page.html").render(
        more, words=words, window=WINDOW, groups=groups, final=final, figures=figures,
        data={"figures": [draw.to_plotly(figure) for figure in figures]},
        colours={group.label: color for group, color in zip(drawn, draw.PALETTE, strict=False)},
        differing=list(dict.fromkeys(key for group in groups for key in group.differs)),
        marked=any(map(words.mark, final)),
        style=Markup((_HERE / "page.css").read_text()), scripts=list(map(Markup, scripts)),
        hashes=Markup(" ".join(map(_hash, scripts))),
    )  # fmt: skip


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _uri(content: bytes, kind: str) -> str:
    """Return a file as an address that is the file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
