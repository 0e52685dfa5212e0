"""The configuration: composed, checked, and explained where it is wrong."""
