"""Execute one request of the tester: load the handler, call a function, forget values."""

from __future__ import annotations

import sys
import time

from . import (
    attempts,
    contract,
    failures,
    handler,
    landlock,
    parameters,
    seccomp,
    stacks,
    usage,
    values,
)
from .protocol import (
    LINE_OVERHEAD_BYTES,
    MAX_MESSAGE_CHARS,
    Loaded,
    Raised,
    Refused,
    Response,
    Returned,
)
from .streams import flush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Worker:
    """The handler of this process and the values its calls returned."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}
        self._handler: Any = None
        self._watch: Any = None
        self._model_dir = ""
        self._handler_roots: list[str] = []
        self._max_response_bytes = 0
        self._streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
        stream: Any
        for stream in self._streams:
            # Line by line, so that a crash does not take the last words with it.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def answer(self, request: dict[str, Any]) -> object:
        """Carry out one request; give the reply, or None where none is due."""
        if request["type"] == "release":
            for name in request["ids"]:
                self._kept.pop(name, None)
            return None
        answer = self._load if request["type"] == "load" else self._call
        try:
            return answer(request)
        finally:
            self._flush()

    def _load(self, request: dict[str, Any]) -> object:
        self._model_dir = request["model_dir"]
        self._handler_roots = request["handler_roots"]
        self._max_response_bytes = request["max_response_bytes"]
        if request.get("stack_file"):
            stacks.write_on_signal(request["stack_file"])
        fence, version = request.get("fence"), None
        if fence is not None:
            try:
                version = landlock.restrict(fence["writable"], fence["deny_tcp"])
            except landlock.Unavailable as refusal:
                return Refused(id=request["id"], reason="Landlock: %s" % refusal)
        if request.get("seccomp"):
            try:
                seccomp.restrict(request["seccomp"])
            except seccomp.Unavailable as refusal:
                return Refused(id=request["id"], reason="seccomp: %s" % refusal)
        self._watch = attempts.Watch(
            request["handler_roots"],
            count_unrouted=request.get("count_unrouted", False),
            no_sockets=bool(request.get("seccomp")),
        )
        if request.get("cloudpickle_dir"):
            sys.meta_path.append(parameters.CloudpickleFinder(request["cloudpickle_dir"]))

        def work() -> Any:
            handler.prepare(request)
            loaded = handler.load(request["module"])
            return loaded, loaded.describe()

        found, elapsed, failure = self._measure(request["id"], work)
        if failure is not None:
            return failure
        self._handler, functions = found
        return Loaded(
            id=request["id"],
            file=self._handler.file,
            functions=functions,
            elapsed_s=elapsed,
            peak_memory_bytes=usage.peak_bytes(),
            landlock=version,
            attempts=self._watch.collect(),
        )

    def _call(self, request: dict[str, Any]) -> object:
        name = request["id"]
        try:
            given = [parameters.resolve(item, self._kept) for item in request["arguments"]]
        except parameters.Unavailable as unavailable:
            return Refused(id=name, reason=str(unavailable))
        except UnicodeDecodeError as error:
            # The server decodes the body before any function of the handler runs.
            return Raised(id=name, failure=self._describe(error), elapsed_s=0.0)
        context = contract.Context(
            self._model_dir,
            request.get("content_type"),
            request.get("accept"),
            request.get("body_bytes", 0),
        )
        function = self._handler.function(request["function"])
        value, elapsed, failure = self._measure(
            name, lambda: contract.invoke(function, given, context)
        )
        if failure is not None:
            return failure
        peak = usage.peak_bytes()
        self._kept[name] = value
        response, oversize = (
            self._respond(value, given[1], context)
            if request["function"] == "output_fn"
            else (None, None)
        )
        return Returned(
            id=name,
            value=values.describe(value),
            elapsed_s=elapsed,
            peak_memory_bytes=peak,
            threads=usage.threads(),
            descriptors=usage.descriptors(),
            attempts=self._watch.collect(),
            response=response,
            oversize_bytes=oversize,
        )

    def _measure(self, name: str, work: Callable[[], Any]) -> tuple[Any, float, Raised | None]:
        """Run some of the handler's code: (its value, seconds, None or what it raised)."""
        usage.reset_peak()
        start = time.perf_counter()
        try:
            value = work()
        except BaseException as error:
            elapsed = time.perf_counter() - start
            return None, elapsed, self._raised(name, error, elapsed)
        return value, time.perf_counter() - start, None

    def _raised(self, name: str, error: BaseException, elapsed: float) -> Raised:
        return Raised(
            id=name,
            failure=self._describe(error),
            elapsed_s=elapsed,
            fatal=not issubclass(type(error), Exception),  # isinstance asks error.__class__ too
            peak_memory_bytes=usage.peak_bytes(),
            attempts=self._watch.collect() if self._watch else None,
        )

    def _describe(self, error: BaseException) -> Any:
        return failures.describe(error, self._handler_roots)

    def _respond(self, value: Any, accept: str, context: Any) -> tuple[Response | None, int | None]:
        try:
            status, content_type, body, reason = contract.respond(value, accept, context)
        except Exception as error:
            return Response(status=500, reason=failures.message(error)), None
        if reason is not None:
            reason = failures.clean(reason, MAX_MESSAGE_CHARS)
        if body is None:
            return Response(status=status, content_type=content_type, reason=reason), None
        if len(body) > self._max_response_bytes:
            return None, len(body)
        text, encoding = contract.as_text(body)
        return (
            Response(
                status=status,
                content_type=failures.clean(content_type or "", LINE_OVERHEAD_BYTES // 8),
                body=text,
                body_encoding=encoding,  # type: ignore[arg-type]
                reason=reason,
            ),
            None,
        )

    def _flush(self) -> None:
        flush({id(stream): stream for stream in (*self._streams, sys.stdout, sys.stderr)}.values())
