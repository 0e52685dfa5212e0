"""Sets of episodes on the disk, in Minari's format: read as data, described, written."""
