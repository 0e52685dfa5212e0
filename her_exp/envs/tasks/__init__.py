"""Our own tasks, and how they are drawn."""
