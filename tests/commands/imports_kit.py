"""What a command imported, as Python itself tells it."""

from __future__ import annotations

import re

#: Options of Python that have it told on stderr.
TELL_IMPORTS = ("-X", "importtime")
#: Packages that take their time to import.
HEAVY = frozenset({
    "PIL", "envpool", "gymnasium_robotics", "imageio", "joblib", "matplotlib", "mujoco", "optuna",
    "pandas", "plotly", "ray", "scipy", "submitit", "tensorboard", "torch",
})  # fmt: skip


def heavy_imports(err: str) -> tuple[set[str], str]:
    """Return the heavy packages that were imported, and what else stands on stderr."""
    lines = err.splitlines(keepends=True)
    told = [line for line in lines if line.startswith("import time:")]
    packages = {name for line in told for name in re.findall(r"\| +(\w+)[\w.]*$", line.rstrip())}
    assert "hydra" in packages, err  # all is told
    return packages & HEAVY, "".join(line for line in lines if line not in set(told))
