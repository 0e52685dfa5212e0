"""Notebooks as pages of the documentation: what they hold, never run.

A plugin would do it with a kernel, a server and forty packages of theirs; a notebook that prints and draws
needs a page of text and some pictures.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any


def pages(folder: Path) -> dict[str, str | bytes]:
    """Return the files that the notebooks in `folder` become, by name: pages and their pictures."""
    made: dict[str, str | bytes] = {}
    for path in sorted(folder.glob("*.ipynb")):
        text, pictures = as_page(json.loads(path.read_text()), path.stem)
        made |= {f"{path.stem}.md": text, **pictures}
    return made


def as_page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as markdown, and its pictures by file name.

    Raises:
        ValueError: a cell with a picture says nothing in its metadata's `alt`, or an output is of a
            kind that no page of ours has.
    """
    blocks, pictures = [], {}
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(source)
            continue
        blocks.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                blocks.append("```text\n" + "".join(output["text"]).rstrip() + "\n```")
            elif "image/png" in output.get("data", {}):
                alt = cell["metadata"].get("alt")
                if not alt:
                    raise ValueError(f"{name}.ipynb: cell {number} has a picture and no alt")
                file = f"{name}_{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode("".join(output["data"]["image/png"]))
                blocks.append(f"![{alt}]({file})")
            else:
                raise ValueError(f"{name}.ipynb: cell {number} has {output['output_type']}")
    told = (
        f'*<a href="{name}.ipynb" download>The notebook of this page</a> can be run and changed.*'
    )
    return "\n\n".join([blocks[0], told, *blocks[1:]]) + "\n", pictures
