"""Many runs in one program: their jobs take turns, and learn and act as one."""
