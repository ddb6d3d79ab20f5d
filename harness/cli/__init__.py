"""The command line: one file per command, thin. The only place that prints or exits."""

from harness.cli.group import main

__all__ = ["main"]
