"""A *.handler.toml as a file of tests of pytest's, one for each call and request.

The handler is run once, in one worker, when the first of its tests is. Names are such as
predict_fn[rows] and end_to_end[rows-text/csv->application/json].
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.artifacts.workspace import RunDirectory
from harness.batch.discovery import find
from harness.checks import flow, samples
from harness.configuration import environment, project
from harness.errors import HarnessError
from harness.records import Outcome
from harness.reports import diagnosed
from harness.reports.text import failure_text, harmless, log_text
from harness.results import END_TO_END, EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.specs import InferenceHandlerSpec
from harness.tester import RuntimeTester

Row = FunctionTestResult | EndToEndTestResult


def spec_of(path: Path) -> InferenceHandlerSpec:
    """Make the spec of a handler's file, with the settings of the project and the environment.

    Raises SpecError.
    """
    (found,) = find([str(path)])
    settings = project(path.parent).under(found.settings).under(environment(os.environ))
    return InferenceHandlerSpec.model_validate(settings.fields())


@dataclass(frozen=True)
class Place:
    """Which row of a result a test is about."""

    function: str
    sample: str | None = None
    content_type: str | None = None
    accept: str | None = None

    @property
    def name(self) -> str:
        """The test's name."""
        if self.function == END_TO_END:
            return f"{END_TO_END}[{self.sample}-{self.content_type}->{self.accept}]"
        if self.function == "output_fn":
            return f"output_fn[{self.sample}->{self.accept}]"
        return f"{self.function}[{self.sample}]" if self.sample else self.function

    def is_of(self, row: Row) -> bool:
        """Say whether a row is the one."""
        function = row.function_name if isinstance(row, FunctionTestResult) else END_TO_END
        if (function, row.sample_name) != (self.function, self.sample):
            return False
        return function not in ("output_fn", END_TO_END) or row.accept_type == self.accept


class HandlerFile(pytest.File):
    """A *.handler.toml file: its tests, and the one run of the handler that they look at."""

    @cached_property
    def spec(self) -> InferenceHandlerSpec:
        """The handler's spec. Raises SpecError."""
        return spec_of(self.path)

    @cached_property
    def result(self) -> InferenceTestResult:
        """The handler's result: run when first asked for. Raises HarnessError."""
        with RuntimeTester() as tester:
            return tester.test_inference_handler(self.spec)

    def collect(self) -> Iterator[HandlerItem]:
        """List a test for each call and request, without starting a worker."""
        try:
            places = list(_places(self.spec))
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        for place in places:
            name = harmless(place.name)
            # The id is given as text, so that pytest reads brackets in it as it does for --lf.
            nodeid = f"{self.nodeid}::{name}"
            yield HandlerItem.from_parent(self, name=name, nodeid=nodeid, place=place)


class HandlerItem(pytest.Item):
    """One row of the handler's result, as a test."""

    def __init__(self, *, place: Place, **options: Any) -> None:
        super().__init__(**options)
        self.place = place

    def runtest(self) -> None:
        """Look at the row; the first to do so runs the handler."""
        file = self.parent
        assert isinstance(file, HandlerFile)
        result = file.result
        if self.place.function == WHOLE:
            if not result.overall_success:
                raise HandlerFailed("\n".join([*result.errors, *map(str, diagnosed.each(result))]))
            return
        rows: list[Row] = [*result.function_results(), *result.end_to_end_results]
        row = next(row for row in rows if self.place.is_of(row))
        self._report_output(row)
        if row.outcome is Outcome.skipped:
            pytest.skip(row.skip_reason or "")
        if not row.success:
            told = map(str, diagnosed.of_row(result, row))
            raise HandlerFailed("\n\n".join((failure_text(row), *told)))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        """Show our text and the remote traceback, and no traceback of ours."""
        if isinstance(excinfo.value, HandlerFailed | HarnessError):
            return harmless(str(excinfo.value))
        return super().repr_failure(excinfo, style=style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where the test is."""
        return self.path, None, self.name

    def _report_output(self, row: Row) -> None:
        if isinstance(row, FunctionTestResult) and row.log is not None:
            self.add_report_section("call", "handler's log", harmless(log_text(row.log)))


class HandlerFailed(Exception):
    """Say why a test of a handler failed."""


WHOLE = "handler"


def _places(spec: InferenceHandlerSpec) -> Iterator[Place]:
    """List what will be a row of the result, and the whole, which fails when nothing was tested."""
    with RunDirectory() as run:
        found = samples.collect(spec, run)
    yield Place("model_fn")
    for sample in found.chosen:
        yield Place("input_fn", sample.sample_name)
        yield Place("predict_fn", sample.sample_name)
        for accept in flow.accept_types(spec, sample):
            yield Place("output_fn", sample.sample_name, sample.content_type, accept)
            yield Place(END_TO_END, sample.sample_name, sample.content_type, accept)
    yield Place(WHOLE)
