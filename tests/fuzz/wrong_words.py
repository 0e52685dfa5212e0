"""What can be wrong with a command line: a kind is one function with `@wrong`.

It changes the words of a right command line, and returns names of which the refusal must tell one.
The kinds are in `wrong_settings.py` and `wrong_writing.py`, which enter theirs when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from tests.fuzz.config_tree import Base, Leaf

#: A finished run of our own, beside the command line that is tried.
DONE = "done"

Wrong = Callable[[Random, Base, list[str]], list[str]]
WRONG: dict[str, Wrong] = {}
#: Kinds that may turn out right after all.
EITHER = ("scrambled",)
#: Kinds of single values, which go together.
VALUES = ("wrong_type", "out_of_range", "unknown_key")


def wrong(make: Wrong) -> Wrong:
    WRONG[make.__name__] = make
    return make


def some_leaf(random: Random, base: Base, fits: Callable[[Leaf], bool] = lambda _: True) -> Leaf:
    return random.choice([leaf for leaf in base.leaves.values() if fits(leaf)])


def typo(random: Random, word: str, known: Iterable[str]) -> str:
    """Draw a misspelling of a word that is no other known word."""
    at = random.randrange(len(word))
    spelt = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + "x" + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
        word + "_of_mine",
    ]
    taken = {*known, word, ""}
    return str(random.choice([s for s in spelt if s not in taken and s.isidentifier()]))
