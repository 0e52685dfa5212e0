"""Fixtures of the kits that the tests of runs share."""

from tests.commands.shell import sh
from tests.runs.health_kit import start
from tests.runs.resume_kit import never_stopped

__all__ = ["never_stopped", "sh", "start"]
