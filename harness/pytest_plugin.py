"""The pytest plugin: its two fixtures, and the files that it collects (pytest_items.py).

pytest loads it in every run, whatever is tested: the rest of handlerproof is loaded when needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.spec_files import HANDLER_SUFFIX

if TYPE_CHECKING:
    from harness.checks.open_handler import OpenHandler
    from harness.tester import RuntimeTester

MARKER = "handler"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known that says which handler the fixture `handler` opens."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(path): the package or *{HANDLER_SUFFIX} that the fixture handler opens",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a handler's file."""
    if file_path.name.endswith(HANDLER_SUFFIX):
        from harness.pytest_items import HandlerFile

        return HandlerFile.from_parent(parent, path=file_path)
    return None


@pytest.fixture
def runtime_tester() -> Iterator[RuntimeTester]:
    """Give a tester of inference handlers, closed after the test."""
    from harness.tester import RuntimeTester

    with RuntimeTester() as tester:
        yield tester


@pytest.fixture
def handler(request: pytest.FixtureRequest, runtime_tester: RuntimeTester) -> Iterator[OpenHandler]:
    """Open the handler of `@pytest.mark.handler(path)` in a worker: call its functions one by one.

    A relative path is seen from the file of the test.
    """
    marker = request.node.get_closest_marker(MARKER)
    if marker is None or len(marker.args) != 1:
        pytest.fail(f"say which handler: @pytest.mark.{MARKER}('path')", pytrace=False)
    path = request.path.parent / marker.args[0]
    with ExitStack() as opened:
        yield _opened(path, runtime_tester, opened)


def _opened(path: Path, tester: RuntimeTester, opened: ExitStack) -> OpenHandler:
    """Open a handler until the end of a block; one that cannot be had fails the test in words."""
    from harness.errors import HarnessError
    from harness.pytest_items import spec_of
    from harness.reports.text import harmless

    try:
        source = spec_of(path) if path.name.endswith(HANDLER_SUFFIX) else path
        return opened.enter_context(tester.open_handler(source))
    except HarnessError as error:
        why = harmless(str(error))
    pytest.fail(why, pytrace=False)
