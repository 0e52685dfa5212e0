"""The hindsight buffer, beside a slow and obvious model of it (`oracle.py`)."""
