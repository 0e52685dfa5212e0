"""Agents: what learns. They know nothing of buffers."""
