"""The Python of a handler: found, built of its requirements, kept for the next, looked at."""
