"""What `python -m her_exp.check` looks at: episodes, goal functions, and how it says what it saw."""
