"""The rows of a handler's calls: a FunctionTestResult for each, made of what came of it.

Each takes longer right after a call, when the processor's caches are those of other work, than one
after the other. So they are made when somebody asks for one.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from harness.checks import validation, verdict
from harness.checks.observations import Observations
from harness.checks.redaction import Redaction
from harness.results import FunctionTestResult, Phase
from harness.runtime.evidence import Answer, Ending
from harness.specs import Limits
from harness.summaries import NetworkAttempt, ResponseSummary

Listener = Callable[[FunctionTestResult], None]


class Entry(NamedTuple):
    """What a row is made of; `own` says that the function is the handler's, not the stack's."""

    name: str
    function: str
    answer: Answer
    phase: Phase
    own: bool
    fields: Mapping[str, Any]


class Ledger:
    """Every row so far, by the id of its call, and the response that a client would have got."""

    def __init__(
        self, limits: Limits, environ_vars: Mapping[str, str], on_row: Listener | None
    ) -> None:
        """`on_row` is told of each row as its call ends."""
        self.observations = Observations(limits)
        self._limits = limits
        self._redaction = Redaction(environ_vars)
        self._on_row = on_row
        self._rows: dict[str, FunctionTestResult] = {}
        self._responses: dict[str, ResponseSummary] = {}
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._last: str | None = None
        self._load_attempts: list[NetworkAttempt] = []

    @property
    def is_patient(self) -> bool:
        """Whether a row may be made later than its call ends: nobody is told of it."""
        return self._on_row is None

    @property
    def rows(self) -> dict[str, FunctionTestResult]:
        """Give every row by the id of its call."""
        self._catch_up()
        return self._rows

    def name_of(self, row: object) -> str | None:
        """Give the id of the call that this very row is of; None for anything else."""
        return next((name for name, own in self.rows.items() if own is row), None)

    @property
    def last(self) -> FunctionTestResult | None:
        """Give the row of the call that was made last; None for none."""
        return self.rows[self._last] if self._last else None

    def response(self, name: str) -> ResponseSummary | None:
        """Give the response that the container makes of what a call returned or raised."""
        self._catch_up()
        return self._responses.get(name)

    def succeeded(self, name: str) -> bool:
        """Say whether a call passed, without making its row."""
        entry = self._open.get(name)
        return self._rows[name].success if entry is None else verdict.is_pass(entry.answer)

    def loaded(self, attempts: list[NetworkAttempt]) -> None:
        """Begin with another worker, whose import tried to reach this."""
        self._catch_up()
        self._load_attempts = attempts
        self.observations.forget_worker()

    def enter(self, entry: Entry) -> None:
        """Take what came of a call; its row is made when it is asked for, or later."""
        self._open[entry.name] = entry
        self._last = entry.name
        if self._on_row is not None:
            self._catch_up()

    def put(self, name: str, row: FunctionTestResult) -> None:
        """Put a row in place of one, or that of a call that was not made."""
        self._catch_up()
        self._rows[name] = row

    def amend(self, ending: Ending) -> None:
        """Hold what a worker did after its last answer against that call."""
        self._catch_up()
        if self._last is not None:
            self._rows[self._last] = verdict.late(self._rows[self._last], ending)
            self._responses.pop(self._last, None)

    def _catch_up(self) -> None:
        """Make the rows that are still to be made, in the order of their calls."""
        while self._open:
            self._write(self._open.popitem(last=False)[1])

    def _write(self, entry: Entry) -> None:
        answer, function = entry.answer, entry.function
        judged = verdict.judge(answer, self._limits, phase=entry.phase, function=function)
        value = judged.get("output_data")
        details = validation.validate(function, value) if value is not None else {}
        if not entry.own:
            details["default"] = True
        if self._load_attempts:
            # What the import tried is shown with the first call, as its log is.
            found = judged.get("network_attempts", [])
            judged["network_attempts"] = [*self._load_attempts, *found]
            self._load_attempts = []
        row = FunctionTestResult(
            function_name=function,  # type: ignore[arg-type]
            **{"validation_details": details, **entry.fields, **judged},
        )
        self.observations.take(row, answer)
        row = self._redaction.of(row)
        self._rows[entry.name] = row
        response = verdict.response_of(answer.reply)
        if response is not None:
            # An answer is the handler's own; what is told of an exception is not.
            self._responses[entry.name] = response if row.success else self._redaction.of(response)
        if self._on_row is not None:
            self._on_row(row)
