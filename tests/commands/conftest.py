"""Fixtures of the kits that the tests of commands share."""

from tests.commands.cli_kit import command, made, short
from tests.commands.kill_kit import never_killed
from tests.commands.shell import sh
from tests.commands.words_kit import right
from tests.store.trust_kit import good

__all__ = ["command", "good", "made", "never_killed", "right", "sh", "short"]
