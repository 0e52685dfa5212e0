"""About the code itself: imports of rooms, and sizes."""
