"""Run folders: what is read of them, and whom to trust."""
