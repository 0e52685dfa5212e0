"""What is on disk: a run folder, its checkpoints, and whether a stranger's may be made from."""
