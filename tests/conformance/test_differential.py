"""Generated handlers and requests: the real toolkit and ours answer alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.conformance import environments, handlers, sides
from tests.conformance.sides import Request

EXAMPLES = 1_000
LONG_EXAMPLES = 10_000
Both = Callable[[str, Request], tuple[sides.Seen, sides.Seen]]


@pytest.fixture(scope="session")
def toolkit_python() -> Path:
    """The environment of the base toolkit; a test fails where it cannot be built."""
    return environments.python_of(environments.TOOLKIT, environments.OF_TOOLKIT)


@pytest.fixture(scope="module")
def both(toolkit_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Send one request to a handler in the real toolkit, and in ours."""
    directory = tmp_path_factory.mktemp("model")
    with ExitStack() as stack:
        real = stack.enter_context(sides.theirs(toolkit_python, "toolkit", directory))
        own = stack.enter_context(sides.ours(directory))

        def send(source: str, request: Request) -> tuple[sides.Seen, sides.Seen]:
            told = real.ask("toolkit", source, request)
            answer = own.ask("toolkit", source, request)
            return sides.of_theirs(told, directory), sides.of_ours(answer, directory)

        yield send


def test_generated_handlers_are_answered_as_by_the_toolkit(both: Both) -> None:
    count = LONG_EXAMPLES if os.environ.get("HANDLERPROOF_LONG") == "1" else EXAMPLES

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(handlers.sources(), handlers.REQUESTS)
    def compare(source: str, request: Request) -> None:
        theirs, ours = both(source, request)
        assert ours == theirs

    compare()
