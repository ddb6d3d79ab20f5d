"""Pipelines: scripts and handlers, and what goes from one to the next."""
