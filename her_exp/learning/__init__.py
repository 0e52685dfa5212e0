"""What moves networks: their parameters as vectors, Adam, targets; and recordings of updates."""
