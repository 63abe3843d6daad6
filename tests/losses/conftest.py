"""A script for another Python is no module of tests."""

collect_ignore = ["trl_numbers.py"]
