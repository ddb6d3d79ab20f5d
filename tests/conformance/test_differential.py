"""Generated handlers and requests: the real toolkit and ours answer alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.conformance import environments, handlers, sides
from tests.conformance.sides import Request

EXAMPLES = 1_000
LONG = os.environ.get("HANDLERPROOF_LONG") == "1"
Both = Callable[[str, Request], tuple[sides.Seen, sides.Seen]]


@contextmanager
def both_sides(stack: str, python: Path, own_python: Path | str, directory: Path) -> Iterator[Both]:
    """Send one request to a handler in the real toolkit, and in ours."""
    with (
        sides.theirs(python, stack, directory) as real,
        sides.ours(directory, own_python) as own,
    ):

        def send(source: str, request: Request) -> tuple[sides.Seen, sides.Seen]:
            told = real.ask(stack, source, request)
            answer = own.ask(stack, source, request)
            return sides.of_theirs(told, directory), sides.of_ours(answer, directory)

        yield send


def compare_generated(both: Both, count: int) -> int:
    """Compare that many generated pairs of handler and request; give how many were answered 2xx."""
    answered = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(handlers.sources(), handlers.REQUESTS)
    def compare(source: str, request: Request) -> None:
        nonlocal answered
        theirs, ours = both(source, request)
        assert ours == theirs
        answered += theirs.status is not None and 200 <= theirs.status < 300

    compare()
    return answered


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both sides of the base toolkit; a test fails where its environment cannot be built."""
    python = environments.python_of(environments.TOOLKIT, environments.OF_TOOLKIT)
    place = tmp_path_factory.mktemp("model")
    with both_sides("toolkit", python, sys.executable, place) as both:
        yield both


@pytest.fixture(scope="module")
def frameworks() -> Path:
    """The environment of the HuggingFace and PyTorch toolkits, with torch."""
    if not LONG:
        pytest.skip("needs torch in an environment of its own: scripts/test --long")
    try:
        return environments.python_of(
            (*environments.TOOLKIT, *environments.OF_FRAMEWORKS), environments.FRAMEWORKS
        )
    except environments.CannotBuild as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["huggingface", "pytorch"])
def framework(
    request: pytest.FixtureRequest, frameworks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """Both sides of one of them, both with torch."""
    place = tmp_path_factory.mktemp("model")
    with both_sides(request.param, frameworks, frameworks, place) as both:
        yield both


def test_generated_handlers_are_answered_as_by_the_toolkit(toolkit: Both) -> None:
    """1,000 in every run; a fifth or so is answered well, the rest fails somewhere."""
    answered = compare_generated(toolkit, EXAMPLES * (10 if LONG else 1))
    assert answered > EXAMPLES // 20


def test_a_surrogate_anywhere_in_the_traceback_ends_the_worker(toolkit: Both) -> None:
    """Found by 10,000 examples: the message is plain, that of its cause cannot be encoded."""
    source = """
def model_fn(model_dir): return 1
def input_fn(body, content_type):
    try:
        raise ValueError("\\ud800")
    except ValueError as cause:
        raise ValueError("plain") from cause
"""
    theirs, ours = toolkit(source, Request(b"1", "text/csv", "application/json", {}))
    assert ours == theirs
    assert b"Worker died." in ours.body


def test_a_surrogate_in_the_message_ends_the_worker(framework: Both) -> None:
    source = """
def model_fn(model_dir): return 1
def input_fn(body, content_type): raise ValueError("\\ud800")
"""
    theirs, ours = framework(source, Request(b"1", "text/csv", "application/json", {}))
    assert ours == theirs
    assert b"Worker died." in ours.body


def test_generated_handlers_are_answered_as_by_the_frameworks_toolkits(framework: Both) -> None:
    assert compare_generated(framework, EXAMPLES) > EXAMPLES // 20
