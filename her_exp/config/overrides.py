"""Overrides as Hydra reads them, and the keys that they can name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig


def keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Walk all dotted keys of a configuration, nodes and leaves."""
    for name in cfg:
        key = str(name)
        yield prefix + key
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing()):
            yield from keys(node, f"{prefix}{key}.")


def given_twice(overrides: Iterable[str]) -> list[str]:
    """Return a line for each key that several overrides set; Hydra takes the last of them."""
    given: dict[str, list[str]] = {}
    for text in overrides:
        key, equals, _ = text.partition("=")
        if equals and not key.startswith("~"):
            given.setdefault(key.lstrip("+"), []).append(text)
    return [
        f"{' '.join(texts)}: {key} is given {len(texts)} times"
        for key, texts in given.items()
        if len(texts) > 1
    ]


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Read overrides as Hydra does, without those that it cannot read."""
    found = []
    for override in overrides:
        try:
            found += OverridesParser.create().parse_overrides([override])
        except (HydraException, ValueError):
            continue
    return found
