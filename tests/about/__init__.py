"""About the code and the tests themselves: imports of rooms, and whether the oracle notices."""
