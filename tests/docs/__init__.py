"""The documentation: its commands, tables, words and links."""
