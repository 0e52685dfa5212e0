"""Fixtures of the kits that the tests of commands share."""

from tests.commands.kill_kit import never_killed
from tests.commands.words_kit import right, said
from tests.store.trust_kit import good

__all__ = ["good", "never_killed", "right", "said"]
