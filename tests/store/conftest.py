"""Fixtures of the kit that the tests of run folders share."""

from tests.store.trust_kit import good, stranger_run

__all__ = ["good", "stranger_run"]
