"""Execute one request of the tester: load a handler or a script, run it, forget values."""

from __future__ import annotations

import sys
import time

from . import (
    attempts,
    failures,
    handler,
    landlock,
    parameters,
    profiles,
    replies,
    seccomp,
    stacks,
    usage,
    values,
)
from .protocol import MAX_MESSAGE_CHARS, Loaded, Raised, Refused, Response, Returned
from .streams import flush, log_is_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable


class Unenclosed(Exception):
    """A layer of isolation could not be had; its text is for the user."""


class Worker:
    """The handler or script of this process, and the values its calls returned."""

    def __init__(self, renew: Callable[[], None] | None = None) -> None:
        self._renew = renew
        self._kept: dict[str, Any] = {}
        self._stack: Any = None
        self._profile: Any = None
        self._is_imported = False
        self._context: Any = None
        self._headers: tuple[Any, ...] = ()
        self._script: Any = None
        self._watch: Any = None
        self._model_dir = ""
        self._handler_roots: list[str] = []
        self._max_response_bytes = 0
        self._modules: list[str] = []
        self._loading: Any = None
        self._beyond: list[str] | None = None
        self._goes_on = False
        self._streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
        usage.keep_open()
        stream: Any
        for stream in self._streams:
            # Line by line, so that a crash does not take the last words with it.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def answer(self, request: dict[str, Any]) -> object:
        """Carry out one request; give the reply, or None where none is due."""
        follows, self._goes_on = self._goes_on, False
        if request["type"] == "release":
            self._forget(request["ids"])
            return None
        if request.get("follows") and not follows:
            return None
        try:
            reply: Any = self._carry_out(request)
        finally:
            self._flush()
        if request.get("forget"):
            self._forget(request["forget"])
        if request.get("leads") and self._may_go_on(reply):
            self._goes_on = reply.goes_on = True
        return reply

    def _may_go_on(self, reply: Any) -> bool:
        """Say whether a call passed, and all that it did is over and known: the next may begin.

        The tester credits what is on the log, and a process that the kernel ended, to the call that
        it waits for, and what is in the file of responses.
        """
        return (
            isinstance(reply, Returned)
            and reply.oversize_bytes is None
            and (reply.response is None or _is_sent(reply.response))
            and usage.threads() == 0
            and not self._watch.has_started_processes
            and log_is_read()
        )

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._kept.pop(name, None)

    def _carry_out(self, request: dict[str, Any]) -> object:
        kind = request["type"]
        if kind == "load":
            return self._load(request)
        if kind == "load_script":
            return self._load_script(request)
        return self._run_script(request) if kind == "run_script" else self._call(request)

    def _load(self, request: dict[str, Any]) -> object:
        self._model_dir = request["model_dir"]
        self._handler_roots = request["handler_roots"]
        self._max_response_bytes = request["max_response_bytes"]
        # Before any code of the handler's, and before its own modules could be found instead.
        self._stack = profiles.profile(request["stack"])
        try:
            version = self._enclose(request)
        except Unenclosed as refusal:
            return Refused(id=request["id"], reason=str(refusal))
        if request.get("cloudpickle_dir"):
            sys.meta_path.append(parameters.CloudpickleFinder(request["cloudpickle_dir"]))

        def work() -> Any:
            handler.prepare(request, self._renew, exports_code=self._stack.exports_code)
            module = handler.load(request["module"], self._stack.needs_module)
            self._is_imported = True
            self._profile = self._stack(module)
            return module

        module, elapsed, error = self._measure(work)
        if error is not None:
            return self._raised(request, error, elapsed)
        self._modules = usage.modules()
        return Loaded(
            id=request["id"],
            file=handler.file_of(module),
            functions=handler.describe(self._profile.own),
            elapsed_s=elapsed,
            peak_memory_bytes=usage.peak_bytes(),
            landlock=version,
            attempts=self._watch.collect(),
        )

    def _load_script(self, request: dict[str, Any]) -> object:
        from . import script  # before any code of the script's, and needless to a handler

        self._script = script.Script(request["path"], request["mode"])
        self._handler_roots = [self._script.folder]
        try:
            version = self._enclose(request)
        except Unenclosed as refusal:
            return Refused(id=request["id"], reason=str(refusal))

        def work() -> Any:
            self._script.load(request["directory"], request.get("python_path"))
            return self._script.describe()

        functions, elapsed, error = self._measure(work)
        if error is not None:
            return self._raised(request, error, elapsed)
        return Loaded(
            id=request["id"],
            file=failures.clean(request["path"], MAX_MESSAGE_CHARS),
            functions=functions,
            elapsed_s=elapsed,
            peak_memory_bytes=usage.peak_bytes(),
            landlock=version,
            attempts=self._watch.collect(),
        )

    def _run_script(self, request: dict[str, Any]) -> object:
        misfit = self._script.misfit()
        if misfit is not None:
            return Refused(id=request["id"], reason=misfit)
        value, elapsed, error = self._measure(lambda: self._script.run(request))
        if error is not None:
            return self._raised(request, error, elapsed)
        return Returned(
            id=request["id"],
            value=values.describe(value),
            elapsed_s=elapsed,
            peak_memory_bytes=usage.peak_bytes(),
            threads=usage.threads(),
            descriptors=usage.descriptors(),
            attempts=self._watch.collect(),
        )

    def _enclose(self, request: dict[str, Any]) -> int | None:
        """Put up what holds this process in; give the ABI of Landlock. Raise Unenclosed."""
        stacks.write_on_signal()
        fence, version = request.get("fence"), None
        if fence is not None:
            try:
                version = landlock.restrict(fence["writable"], fence["deny_tcp"])
            except landlock.Unavailable as refusal:
                raise Unenclosed("Landlock: %s" % refusal) from None
        if request.get("seccomp"):
            try:
                seccomp.restrict(request["seccomp"])
            except seccomp.Unavailable as refusal:
                raise Unenclosed("seccomp: %s" % refusal) from None
        self._watch = attempts.Watch(
            self._handler_roots,
            count_unrouted=request.get("count_unrouted", False),
            no_sockets=bool(request.get("seccomp")),
        )
        return version

    def _call(self, request: dict[str, Any]) -> object:
        name, function = request["id"], request["function"]
        self._context = self._context_of(request)
        try:
            given = [
                parameters.resolve(item, self._kept, self._profile) for item in request["arguments"]
            ]
        except parameters.Unavailable as unavailable:
            return Refused(id=name, reason=str(unavailable))
        except UnicodeDecodeError as error:
            # The server decodes the body before any function of the handler runs.
            return self._raised(request, error, 0.0)
        value, elapsed, failure = self._measure(
            lambda: self._profile.call(function, given, self._context)
        )
        if failure is not None:
            return self._raised(request, failure, elapsed)
        peak = usage.peak_bytes()
        self._kept[name] = value
        response, oversize = None, None
        if function in ("output_fn", "transform_fn"):
            response, oversize = self._sent(
                lambda: self._profile.reply(value, given[-1], self._context)
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
            modules=self._new_modules() if request["function"] == "model_fn" else None,
        )

    def _new_modules(self) -> list[str] | None:
        """Name the modules that the model needed beyond the handler's import."""
        loading = usage.loading()
        if loading != self._loading:
            known = set(self._modules)
            self._beyond = [name for name in usage.modules() if name not in known] or None
            self._loading = loading
        return self._beyond

    def _context_of(self, request: dict[str, Any]) -> Any:
        """Give the context of a request: its later functions get that of its first."""
        headers = request.get("content_type"), request.get("accept"), request.get("body_bytes")
        first = request["function"] in ("model_fn", "input_fn", "transform_fn")
        if first or headers != self._headers:
            self._headers = headers
            content_type, accept = map(parameters.header, headers[:2])
            size = headers[2]
            return self._profile.context(self._model_dir, content_type, accept, size or 0)
        return self._context

    def _measure(self, work: Callable[[], Any]) -> tuple[Any, float, BaseException | None]:
        """Run some of the handler's code: (its value, seconds, None or what it raised)."""
        usage.reset_peak()
        start = time.perf_counter()
        try:
            value = work()
        except BaseException as error:
            return None, time.perf_counter() - start, error
        return value, time.perf_counter() - start, None

    def _raised(self, request: dict[str, Any], error: BaseException, elapsed: float) -> Raised:
        response = None
        if self._script is None:
            loading = request["type"] == "load" or request["function"] == "model_fn"
            response, _ = self._sent(lambda: self._refusal(error, loading))
        self._headers = ()  # the request is over
        return Raised(
            id=request["id"],
            failure=failures.describe(error, self._handler_roots),
            elapsed_s=elapsed,
            fatal=not failures.is_ordinary(error),
            exit_code=self._script.exit_code(error) if self._script else None,
            peak_memory_bytes=usage.peak_bytes(),
            attempts=self._watch.collect() if self._watch else None,
            response=response,
        )

    def _refusal(self, error: BaseException, loading: bool) -> Any:
        # Without its __init__ where there is no module to make it of: the import raised.
        profile = self._profile or self._stack.__new__(self._stack)
        context = self._context or profile.context(self._model_dir, None, None, 0)
        answer = profile.load_refusal if loading else profile.refusal
        if not self._is_imported:
            answer = profile.import_refusal
        return answer(error, failures.for_a_client(error), context)

    def _sent(self, answer: Callable[[], Any]) -> tuple[Response | None, int | None]:
        """Give the response, or the size of one that is too long for the tester."""
        try:
            reply = answer()
        except BaseException as error:  # the value's own methods may raise whatever they like
            return Response(status=500, reason=failures.message(error)), None
        if reply.body is not None and len(reply.body) > self._max_response_bytes:
            return None, len(reply.body)
        return replies.on_the_wire(reply), reply.oversize_bytes

    def _flush(self) -> None:
        streams = [*self._streams]
        for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
            if stream is not streams[0] and stream is not streams[1]:
                streams.append(stream)
        flush(streams)


def _is_sent(response: Response) -> bool:
    """Say whether a response is one of success, and crosses in its line."""
    is_success = response.status is not None and 200 <= response.status < 300
    return is_success and response.stored_bytes is None and not response.worker_died
