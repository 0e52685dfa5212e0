"""The real command on words made at random."""
