"""What `her_exp.envs.checker` looks at: episodes, goal functions, and how it says what it saw."""
