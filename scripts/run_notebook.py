"""Run a notebook's code cells in order and store in it what they print and draw.

    python scripts/run_notebook.py docs/tutorial.ipynb

For notebooks that print, and draw by matplotlib (extra `report`): that needs no kernel.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from PIL import Image

DPI = 100
_COLOURS = 128  # of a stored picture: a third of the bytes, and no difference to the eye


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run the code cells, put their outputs into `notebook`, and return the names that they leave.

    Raises:
        ValueError: a cell ends in a value, which Jupyter would show and this does not.
    """
    mpl.use("agg")
    # It says that agg opens no window; the figures are stored.
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
    names: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(code, 1):
        with redirect_stdout(io.StringIO()) as printed:
            _execute("".join(cell["source"]), f"cell {count}", names)
        cell["execution_count"] = count
        cell["outputs"] = [*_text(printed.getvalue()), *_figures()]
    return names


def _execute(source: str, name: str, names: dict[str, Any]) -> None:
    tree = ast.parse(source, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    if last and eval(compile(ast.Expression(last.value), name, "eval"), names) is not None:
        raise ValueError(f"{name} ends in a value, which is not stored: print it")


def _text(text: str) -> list[dict[str, Any]]:
    lines = text.splitlines(keepends=True)
    return [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []


def _figures() -> list[dict[str, Any]]:
    """Return the open figures as outputs, and close them."""
    outputs = []
    for number in plt.get_fignums():
        drawn, png = io.BytesIO(), io.BytesIO()
        plt.figure(number).savefig(drawn, dpi=DPI)
        Image.open(drawn).convert("RGB").quantize(_COLOURS).save(png, "png", optimize=True)
        data = {"image/png": base64.b64encode(png.getvalue()).decode() + "\n"}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    plt.close("all")
    return outputs


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        notebook = json.loads(path.read_text())
        run(notebook)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
