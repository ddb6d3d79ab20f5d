"""Processes that nobody owns any more, known by a directory of ours among their variables."""

import contextlib
from collections.abc import Iterable

import psutil


def found(texts: Iterable[str]) -> list[psutil.Process]:
    """Find the processes of which a variable has one of these texts in it."""
    marks = tuple(texts)
    return [process for process in psutil.process_iter() if has(process, marks)]


def has(process: psutil.Process, texts: Iterable[str]) -> bool:
    """Say whether a process has one of these texts in a variable; not when it cannot be known."""
    with contextlib.suppress(psutil.Error, OSError):
        values = process.environ().values()
        return any(text in value for text in texts for value in values)
    return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes that may be gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
