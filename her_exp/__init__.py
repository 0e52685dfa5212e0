"""her_exp: a laboratory for Hindsight Experience Replay."""

import sys
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"


def _conf_dir() -> Path:
    """The wheel carries the configuration inside the package, a checkout beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


CONF_DIR = _conf_dir()

#: What pyproject.toml asks for, by the names that are imported.
_NEEDS = ("torch", "numpy", "gymnasium", "hydra", "omegaconf", "tensorboard", "tqdm", "PIL")


def _refuse_other_python() -> None:
    """End `python -m her_exp...` with a line where this Python lacks what her_exp needs."""
    # While Python looks for the module of -m, the first word is "-m": a program that imports us goes on,
    # and sees the ImportError itself.
    if sys.argv[:1] == ["-m"] and (lost := [name for name in _NEEDS if not find_spec(name)]):
        print(
            f"her_exp: error: {sys.executable} lacks {', '.join(lost)}: take the Python of .venv "
            "(. .venv/bin/activate), or make it first (make setup)",
            file=sys.stderr,
        )
        sys.exit(2)


_refuse_other_python()
