"""What a search may vary: its dimensions, and the jobs at their ends."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from her_exp.sweeps.space import Choice, Interval, corners, dimensions


def parsed(*overrides: str) -> Any:
    return OverridesParser.create().parse_overrides(list(overrides))


def test_dimensions_of_a_search() -> None:
    space = dimensions(
        parsed(
            "a=1,2", "b=choice([8,8],[16])", "c=interval(0.1,1)", "d=tag(log,int(interval(1,64)))",
            "e=range(1,8,3)", "f=range(0.0,1.0,0.25)", "g=7", "+h=int(interval(2,3))", "i=range(3)",
        )
    )  # fmt: skip
    assert space == {
        "a": Choice(["1", "2"]),
        "b": Choice(["[8,8]", "[16]"]),
        "c": Interval(0.1, 1),
        "d": Interval(1, 64, log=True),
        "e": Interval(1, 7, step=3),
        "f": Interval(0.0, 0.75, step=0.25),
        "+h": Interval(2, 3),
        "i": Interval(0, 2, step=1),
    }
    whole = {key: isinstance(d, Interval) and isinstance(d.low, int) for key, d in space.items()}
    assert [key for key, yes in whole.items() if yes] == ["d", "e", "+h", "i"]


def test_each_end_of_a_search_is_a_job() -> None:
    jobs = list(corners(parsed("a=1,2,3", "x=7", "b=interval(0.5,0.9)")))
    assert jobs == [
        (["a=1", "x=7", "b=0.5"], "a=1 b=0.5"),
        (["a=2", "x=7", "b=0.5"], "a=2"),
        (["a=3", "x=7", "b=0.5"], "a=3"),
        (["a=1", "x=7", "b=0.9"], "b=0.9"),
    ]
