"""Replay buffers: where steps are kept, drawn and relabelled."""
