"""Whole runs in this process: trained, stopped, gone on with, run again."""
