"""The parts of a training, each alone."""
