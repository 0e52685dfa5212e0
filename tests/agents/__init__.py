"""Agents: networks, losses, updates, and the same numbers as other people's code."""
