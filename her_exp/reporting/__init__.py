"""What `python -m her_exp.report` is made of: runs to groups, groups to numbers, numbers to a page."""
