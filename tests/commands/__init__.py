"""The real commands, each in a process of its own."""
