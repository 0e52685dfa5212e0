"""What stands in scripts/."""
