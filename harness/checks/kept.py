"""What a tester or a batch keeps from test to test: workers' templates, unpacked packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.shelf import Shelf
from harness.artifacts.workspace import remove_those_of_dead_testers
from harness.runtime.templates import Choosing, Templates


@dataclass(frozen=True)
class Kept:
    """What makes the next test begin sooner, and is gone at the end of the block."""

    templates: Choosing
    shelf: Shelf


@contextmanager
def keeping(workspace: Path | None) -> Iterator[Kept]:
    """Keep what is used again, in directories below the workspace, until the block ends.

    What testers that were killed have left there is removed first; single tests then need not look.
    """
    remove_those_of_dead_testers(workspace)
    with Templates(workspace) as templates, Shelf(workspace) as shelf:
        yield Kept(templates, shelf)
