"""The page: one HTML file that holds its numbers, its pictures and plotly.js.

What comes from a run folder is a stranger's text. `markup` escapes every text, the figures' data
cannot end its script element, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from her_exp.reporting import draw
from her_exp.reporting.markup import Html, el
from her_exp.reporting.sections import SECTIONS, Content

_HERE = Path(__file__).parent


def render(content: Content) -> str:
    """Return the page."""
    script, library = (_HERE / "page.js").read_text(), get_plotlyjs()
    hashes = " ".join(_hash(text) for text in (script, library))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = el(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        el("title", content.title),
        el("style", Html((_HERE / "page.css").read_text())),
    )
    body = el(
        "body",
        el("main", (section(content) for section in SECTIONS)),
        el("script", Html(_json(content)), type="application/json", id="report-data"),
        el("script", Html(library)),
        el("script", Html(script)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(content: Content) -> str:
    data = {
        "figures": [draw.to_plotly(figure) for figure in content.figures],
        "final": [{k: _null(v) for k, v in row.items()} for row in content.final],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
