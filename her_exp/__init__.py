"""her_exp: a laboratory for Hindsight Experience Replay."""

__version__ = "0.1.0"
