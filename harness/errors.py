"""Faults of ours and of the user, as exceptions; a handler's faults are outcomes (results.py).

HarnessError
├── SpecError (also ValueError)        what was asked makes no sense
│   ├── PackageError                   a model package that cannot be opened or has no handler
│   ├── PayloadError                   payload samples that cannot be read
│   └── PipelineError                  a pipeline that does not hold together
├── HandlerEnvironmentError            the handler's Python environment cannot be built or started
├── IsolationUnavailableError          the isolation asked for cannot be had on this machine
├── WorkerError                        no worker could be started: the system has no room for it
└── LeftoverError                      what a run has left cannot be removed
"""

from __future__ import annotations


class HarnessError(Exception):
    """Stand above every exception that this package raises on purpose."""


class SpecError(HarnessError, ValueError):
    """Say what is wrong with something that the user wrote, and what to change."""


class PackageError(SpecError):
    """Say why a model package cannot be used: unsafe, unreadable, or without a handler."""


class PayloadError(SpecError):
    """Say why payload samples cannot be read."""


class PipelineError(SpecError):
    """Say why a pipeline cannot be tested: a cycle, an unknown node, a node without a spec."""


class HandlerEnvironmentError(HarnessError):
    """Say why the handler's Python environment could not be built or started."""


class IsolationUnavailableError(HarnessError):
    """Say which layer of isolation was asked for and cannot be had on this machine."""


class WorkerError(HarnessError):
    """Say why no worker could be started: the system had no room for it."""


class LeftoverError(HarnessError):
    """Say what a run has left that cannot be removed."""
