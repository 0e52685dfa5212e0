"""Many runs: what a command line asks for, and what became of each job."""
