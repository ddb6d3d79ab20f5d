"""Requests made up for a handler, from what its package says of its input."""
