"""Command lines of sweeps and their jobs, before any job is started."""
