"""HTML elements that escape every text: what comes from a run folder is a stranger's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is HTML already."""


def el(name: str, *children: str | Iterable[str], **attributes: str) -> Html:
    """Return an element; children that are no `Html` are text. `cls` stands for class."""
    words = [
        f' {key.replace("cls", "class")}="{escape(value)}"' for key, value in attributes.items()
    ]
    inside = [c for child in children for c in ([child] if isinstance(child, str) else child)]
    body = "".join(c if isinstance(c, Html) else escape(c) for c in inside)
    return Html(f"<{name}{''.join(words)}>{body}</{name}>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], cls: str = "") -> Html:
    """Return a table in a box that scrolls by itself."""
    top = el("thead", el("tr", (el("th", name, scope="col") for name in head)))
    body = el("tbody", (el("tr", (el("td", cell) for cell in row)) for row in rows))
    return el("div", el("table", top, body, cls=cls), cls="scroll", tabindex="0")
