"""Envs: our own, other people's, and what is found out about them."""
