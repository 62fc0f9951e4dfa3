"""Compiled programs: their records and their file."""
