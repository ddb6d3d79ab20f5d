"""A handler under test, live in its worker: every call of every test goes through here.

One worker at a time. A worker that broke a limit is gone with its values; the next model_fn or
input_fn finds a fresh one.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, tee

import worker.protocol as protocol
from harness.artifacts import changes
from harness.artifacts.package import Package
from harness.checks import calls, series, signatures, verdict
from harness.checks.calls import Planned
from harness.checks.ledger import Entry, Ledger, Listener
from harness.checks.series import Part, Window
from harness.checks.signatures import Definition
from harness.errors import IsolationUnavailableError
from harness.results import FunctionTestResult, Phase
from harness.runtime import isolation
from harness.runtime.evidence import Answer, Ending
from harness.runtime.launch import HandlerLauncher
from harness.runtime.session import Session
from harness.specs import InferenceHandlerSpec
from harness.summaries import EnvironmentSummary, IsolationSummary, MemoryCurve, ResponseSummary


class LiveHandler:
    """A handler, its worker while there is one, and the row of every call that was made."""

    def __init__(
        self,
        spec: InferenceHandlerSpec,
        package: Package,
        launcher: HandlerLauncher,
        on_row: Listener | None = None,
    ) -> None:
        self.spec = spec
        self.package = package
        self.warnings: list[str] = list(package.warnings)
        self.isolation: IsolationSummary | None = None
        self.environment: EnvironmentSummary | None = None
        self._launcher = launcher
        self._limits = spec.effective_limits
        self._session: Session | None = None
        self._window = Window()
        self._functions: dict[str, protocol.Function] = {}
        self._ledger = Ledger(self._limits, spec.environ_vars, on_row)
        self._deadly: set[str] = set()
        self._latest: dict[str, str] = {}
        self.memory_curve: MemoryCurve | None = None
        self._model_before = changes.listing(package.model_dir)

    # ------------------------------------------------------------ one call

    def restart(self) -> None:
        """Give up the worker, as a server does whose worker died; the next call finds another."""
        self._drop(None)

    def call(self, planned: Planned) -> str:
        """Make one call under its limits; give the id under which `row` has what came of it.

        Starts a worker and loads the handler when there is none. A load that fails is the row of
        the function that needed it.
        """
        for _ in self._send([Part([planned])]):
            pass
        return planned.name

    def requests(self, requests: Iterable[Sequence[Planned]]) -> Iterator[list[str]]:
        """Make the calls of requests, each up to the first that does not pass; give their ids.

        As many are taken as may go out together, and begun up to the first in which a call does not
        pass or is not quiet: one at the least. Each is given as it ends, while the worker may be at
        the next: take them all before anything else. The worker frees the values of a request after
        its last call.
        """
        taken, together = tee(self._window.take(requests))
        sent = self._send(taken)
        is_whole = True
        for planned, _, _ in together:
            made = [*islice(sent, len(planned))]
            is_whole &= len(made) == len(planned)
            if not made:
                break
            yield self._whole(planned, made)
        self._window.answered(whole=is_whole)

    def _whole(self, planned: Sequence[Planned], made: list[str]) -> list[str]:
        """Make what is left of a request of which the worker passed over the rest."""
        while len(made) < len(planned) and self._passed(made):
            made += self._send([Part(planned[len(made) :], planned)])
        if len(made) < len(planned):
            self.forget(made)
        return made

    def _passed(self, made: list[str]) -> bool:
        return self._session is not None and self._ledger.succeeded(made[-1])

    def _send(self, parts: Iterable[Part]) -> Iterator[str]:
        """Send calls, each after the first to be made if the one before passed and was quiet.

        Give the id of each that was made, as it ends: of the first alone, where somebody is to be
        told of each.
        """
        failed = self._ensure_loaded()
        if failed is not None:
            first = next(iter(parts)).planned[0]
            self._enter(first, failed, "import")
            yield first.name
            return
        if not self._ledger.is_patient:
            parts = [next(iter(parts)).first()]
        session = self._session
        assert session is not None
        parts, sent = tee(parts)
        planned = chain.from_iterable(part.planned for part in sent)
        timeout_s = self._limits.timeout_seconds or 0.0
        for answer in session.calls(series.made(session, parts), timeout_s):
            item = next(planned)
            self._take(item, answer)
            yield item.name

    def _take(self, item: Planned, answer: Answer) -> None:
        """Enter what came of a call."""
        if not answer.late:
            self._enter(item, answer, "call")
            return
        self._lose(answer.ending)
        before = self._ledger.last
        lost = f"{before.function_name} {before.outcome}" if before else "the worker was lost"
        reason = f"{lost} after its answer".replace("_exceeded", " exceeded")
        self._ledger.put(item.name, verdict.skipped(item.function, reason, **item.fields))

    # ------------------------------------------------------------ what is known of it

    def not_loaded(self, function: str) -> FunctionTestResult | None:
        """Give the row of a function whose handler cannot be loaded; None when it is loaded."""
        failed = self._ensure_loaded()
        if failed is None:
            return None
        planned = Planned(calls.new_name(), function)
        self._enter(planned, failed, "import")
        return self.row(planned.name)

    def definitions(self) -> dict[str, Definition]:
        """Say how the functions that the loaded handler defines can be called."""
        loaded = self._functions.values()
        return {item.name: signatures.of_live(item) for item in loaded if item.defined}

    def annotation(self, function: str) -> str | None:
        """Give the annotation of a function's first parameter; None for none."""
        described = self._functions.get(function)
        parameters = (described and described.parameters) or []
        return parameters[0].annotation if parameters else None

    def row(self, name: str) -> FunctionTestResult:
        """Give the row of a call, amended by what was found out later."""
        return self._ledger.rows[name]

    def succeeded(self, name: str) -> bool:
        """Say whether a call passed; to ask for that costs less than its row."""
        return self._ledger.succeeded(name)

    def response(self, name: str) -> ResponseSummary | None:
        """Give the response that the container makes of what a call returned or raised."""
        return self._ledger.response(name)

    def worker_died(self, name: str) -> bool:
        """Say whether a server's worker would not have survived the answer to this call."""
        return name in self._deadly

    @property
    def transforms(self) -> bool:
        """Whether the loaded handler defines transform_fn, which stands for three functions."""
        found = self._functions.get("transform_fn")
        return found is not None and found.defined

    def defines(self, function: str) -> bool:
        """Say whether the loaded handler defines a function, rather than leave it to a default."""
        found = self._functions.get(function)
        return found is None or found.defined

    @property
    def site_packages(self) -> tuple[str, ...]:
        """Where the handler's packages are."""
        return tuple(self._launcher.interpreter.site_packages)

    @property
    def running(self) -> bool:
        """Whether there is a worker that holds the values of the calls so far."""
        return self._session is not None

    def settle(self) -> None:
        """Look for what the worker did after its last answer, and blame the call before it."""
        if self._session is not None:
            ending = self._session.settle()
            if ending is not None:
                self._lose(ending)

    def forget(self, names: list[str]) -> None:
        """Let the worker free the values of these calls."""
        if self._session is not None:
            self._session.release(names)

    def close(self) -> None:
        """End the worker; what it left behind becomes a warning."""
        if self._session is None:
            return
        session, self._session = self._session, None
        ending = session.close()
        if ending.cause != "closed":
            self._ledger.amend(ending)
        elif ending.exit_code != 0:
            self.warnings.append(f"at the worker's exit: {ending.detail}{verdict.how(ending)}")
        self._note_end(session, ending)

    def observe(self) -> None:
        """Add the warnings that only the whole run shows; call it after `close`."""
        network = self.isolation.network if self.isolation else None
        private = self._launcher.interpreter.private is not None
        rows, observations = self._ledger.rows.values(), self._ledger.observations
        self.warnings += observations.warnings(rows, network, private=private)
        self.isolation = observations.complete(self.isolation)
        self.warnings += changes.told(
            self._model_before, changes.listing(self.package.model_dir), "the model directory"
        )

    # ------------------------------------------------------------ the worker behind it

    def _ensure_loaded(self) -> Answer | None:
        """Have a worker with the handler loaded; give the answer of a load that failed."""
        if self._session is not None:
            return None
        session = self._launcher.start()
        self.isolation = isolation.in_force(
            self.spec, self._launcher.plan, subreaper=session.subreaper
        )
        self.environment = self._launcher.summary(session)
        answer = self._launcher.load(session, secrets.token_hex(8))
        if isinstance(answer.reply, protocol.Loaded):
            self._session = session
            self._ledger.loaded(verdict.attempts_of(answer.reply))
            self._functions = {item.name: item for item in answer.reply.functions}
            return None
        session.close()
        if isinstance(answer.reply, protocol.Refused):
            raise IsolationUnavailableError(
                f"the worker could not be fenced in: {answer.reply.reason}"
            )
        return answer

    def _enter(self, call: Planned, answer: Answer, phase: Phase) -> None:
        own = self.defines(call.function)
        self._ledger.enter(Entry(call.name, call.function, answer, phase, own, call.fields))
        if verdict.is_deadly(answer.reply):
            self._deadly.add(call.name)
        if isinstance(answer.reply, protocol.Returned):
            self._latest[call.function] = call.name
            if answer.reply.modules is not None:
                self._launcher.learn(answer.reply.modules)
        if answer.ending is not None or getattr(answer.reply, "fatal", False):
            self._drop(answer.ending)

    def _lose(self, ending: Ending | None) -> None:
        """The worker did something after its last answer: that call is to blame."""
        if ending is not None:
            self._ledger.amend(ending)
        self._drop(ending)

    def _drop(self, ending: Ending | None) -> None:
        """Give up the worker and every value in it."""
        session, self._session = self._session, None
        self._latest.clear()
        if session is not None:
            ending = ending or session.close()
            self._note_end(session, ending)

    def _note_end(self, session: Session, ending: Ending) -> None:
        """Keep the curve of a worker that took more than those before; warn of what it left."""
        self.memory_curve = max(self.memory_curve, ending.curve, key=_most)
        if ending.cause == "supervisor":
            self.warnings.append(f"{ending.detail}; {ending.swept} processes were ended after it")
        elif ending.swept and ending.cause in ("closed", "death"):
            self.warnings.append(f"{ending.swept} processes that the handler left were ended")
        if ending.left:
            self.warnings.append(f"{ending.left} processes of the handler could not be ended")
        if session.late_log_bytes:
            self.warnings.append(
                f"{session.late_log_bytes} bytes were written to the log between calls"
            )


def _most(curve: MemoryCurve | None) -> int:
    return max(curve.resident_bytes) if curve is not None else 0
