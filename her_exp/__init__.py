"""her_exp: a laboratory for Hindsight Experience Replay."""

from pathlib import Path

__version__ = "0.1.0"


def _conf_dir() -> Path:
    """The wheel carries the configuration inside the package, a checkout beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


CONF_DIR = _conf_dir()
