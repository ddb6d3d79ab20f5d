"""A handler opened, so that its functions can be called one by one."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.artifacts.package import open_package
from harness.artifacts.shelf import alone
from harness.artifacts.workspace import RunDirectory
from harness.checks import arguments, calls
from harness.checks.calls import NO_REQUEST, Parameter
from harness.checks.kept import Kept
from harness.checks.ledger import Listener
from harness.checks.live import LiveHandler
from harness.environments import base_sets, preflight
from harness.environments.provided import provided
from harness.environments.tool import Note
from harness.errors import SpecError
from harness.results import FunctionTestResult
from harness.runtime import layers
from harness.runtime.launch import HandlerLauncher
from harness.runtime.templates import Templates
from harness.specs import InferenceHandlerSpec


class OpenHandler(LiveHandler):
    """A handler whose functions can be called one by one, in any order.

    Each call gives a FunctionTestResult; the value itself stays in the worker, and is handed on by
    giving that result as a parameter. A parameter that is left out is the latest value. Others
    cross as JSON, and as a cloudpickle where JSON cannot carry them.
    """

    def model_fn(self, model_dir: str | None = None) -> FunctionTestResult:
        """Call model_fn, by default with the package's model directory."""
        return self.row(self.call(calls.model(model_dir or self.package.model_dir)))

    def input_fn(
        self, request_body: str | bytes, content_type: str | None = None
    ) -> FunctionTestResult:
        """Call input_fn with a request's body, decoded as the serving stack decodes it."""
        return self.row(self.call(calls.input_of(request_body, content_type)))

    def predict_fn(self, input_object: Any = ..., model: Any = ...) -> FunctionTestResult:
        """Call predict_fn, by default with the latest input and the latest model."""
        given = self._argument(input_object, "input_fn"), self._argument(model, "model_fn")
        return self.row(self.call(calls.predict(*given, NO_REQUEST)))

    def output_fn(self, prediction: Any = ..., accept: str | None = None) -> FunctionTestResult:
        """Call output_fn, by default with the latest prediction."""
        given = self._argument(prediction, "predict_fn")
        return self.row(self.call(calls.output(given, accept)))

    def transform_fn(
        self,
        model: Any = ...,
        request_body: str | bytes = b"",
        content_type: str | None = None,
        accept: str | None = None,
    ) -> FunctionTestResult:
        """Call transform_fn with a request, by default with the latest model."""
        given = self._argument(model, "model_fn")
        return self.row(self.call(calls.transform(given, request_body, content_type, accept)))

    def function(self, name: str, parameters: Mapping[str, Any]) -> FunctionTestResult:
        """Call one function with parameters by the contract's names or the handler's own.

        They are put into the order of the serving stack, which calls by position. Raises SpecError
        for a function or a parameter that there is not, or that is missing.
        """
        if name not in arguments.NAMES:
            known = ", ".join(arguments.NAMES)
            raise SpecError(f"there is no function {name!r}; a handler has {known}")
        called = self.not_loaded(name) or self._by_name(name, parameters)
        given = {key: arguments.shown(value) for key, value in parameters.items()}
        shown = called.model_copy(update={"input_parameters": given})
        entered = self._ledger.name_of(called)
        if entered is not None:
            self._ledger.put(entered, shown)
        return shown

    def _by_name(self, function: str, parameters: Mapping[str, Any]) -> FunctionTestResult:
        described = self._functions.get(function)
        own = [item.name for item in (described and described.parameters) or []]
        called: FunctionTestResult = getattr(self, function)(
            *arguments.positions(function, parameters, own)
        )
        return called

    def _argument(self, value: Any, source: str) -> Parameter:
        if value is ...:
            if source not in self._latest:
                raise SpecError(f"there is no value of {source}; call it first, or give one")
            return arguments.kept_argument(self._latest[source])
        name = self._ledger.name_of(value)
        return arguments.plain_argument(value) if name is None else arguments.kept_argument(name)


@contextmanager
def opened(
    spec: InferenceHandlerSpec,
    run: RunDirectory,
    on_row: Listener | None = None,
    on_note: Note = lambda text: None,
    kept: Kept | None = None,
) -> Iterator[OpenHandler]:
    """Unpack a handler's package into a run directory and give it live; end its worker after.

    `on_note` is told what goes on before: an environment that is built, what preflight found.
    `kept` is what is there from earlier tests; without it, a spec that asks for a warm start gets
    a template for its own workers. Raises PackageError, SpecError, HandlerEnvironmentError or
    IsolationUnavailableError before any code of the handler ran.
    """
    plan = layers.plan(spec)
    exposed = not (plan.has("landlock") or plan.has("bwrap"))
    with ExitStack() as own:
        in_place = not (exposed or spec.model_dir_writable)
        lending = kept.shelf.lending(in_place=in_place) if kept is not None else alone()
        package = open_package(spec, run, own.enter_context(lending))
        base = base_sets.of(spec, package)
        interpreter = own.enter_context(
            provided(
                spec.environment, package.code_dir, base, run.path, exposed=exposed, note=on_note
            )
        )
        templates = kept.templates if kept is not None else None
        if templates is None and spec.start == "warm":
            templates = own.enter_context(Templates(run.path.parent))
        launcher = HandlerLauncher(spec, package, run.path, interpreter, templates)
        handler = OpenHandler(spec, package, launcher, on_row)
        handler.warnings += preflight.warnings(spec, package, interpreter, base)
        if handler.warnings:
            on_note("\n".join(f"warning: {text}" for text in handler.warnings))
        own.callback(handler.close)
        yield handler
