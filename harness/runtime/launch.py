"""From what is to be started to a running worker: a handler here, a script in script_launch.py."""

import importlib.util
import os
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import worker.protocol as protocol
from harness import serving
from harness.artifacts import imports
from harness.artifacts.package import Package
from harness.environments.interpreters import OLDEST, Interpreter
from harness.errors import HandlerEnvironmentError, WorkerError
from harness.runtime import bubblewrap, cgroups, environment, layers, seccomp
from harness.runtime.evidence import Answer
from harness.runtime.guest import Guest
from harness.runtime.process import CHILD, WorkerProcess
from harness.runtime.session import Session
from harness.runtime.template import Forking, Unusable
from harness.runtime.templates import Choice, Choosing, Wanted, safe, wanted
from harness.specs import InferenceHandlerSpec
from harness.summaries import EnvironmentSummary

MIB = 1024 * 1024
SHARED = ("inherit", "python", "venv")  # kinds of environments that are not a handler's own
# What every program may write to: devices, shared memory, and its own entry in /proc.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/proc/self")


def _cloudpickle_dir() -> str:
    """Say where cloudpickle lies, which a worker may need: loading it takes longer than looking."""
    found = importlib.util.find_spec("cloudpickle")
    assert found is not None  # one of our requirements
    assert found.origin is not None
    return os.path.dirname(os.path.abspath(found.origin))


CLOUDPICKLE = _cloudpickle_dir()


class Launcher:
    """Starts workers for one guest, each with directories of its own below the run directory."""

    def __init__(self, guest: Guest, folder: Path, interpreter: Interpreter) -> None:
        """Raise IsolationUnavailableError for what cannot be had."""
        self._guest = guest
        self._limits = guest.asked.effective_limits
        self._folder = folder
        self.plan = layers.plan(guest.asked)
        self.interpreter = interpreter
        self.choice = Choice(None, "")

    def start(self) -> Session:
        """Start a worker and wait for its first line.

        Raises HandlerEnvironmentError, and WorkerError where there is no room for one.
        """
        self._private = environment.private_in(self._folder)
        session, answer = self._begun(self._process())
        if session.ready is None and self.choice.template is not None:
            # A handler before this one may have ended or spoilt who waited in the template.
            session.close()
            why = f"the worker that was forked did not begin: {_why(answer)}"
            if answer.ending is not None and answer.ending.cause == "timeout":
                self.choice.template.end(why)  # else the next may wait as long
            self.choice = Choice(None, why)
            session, answer = self._begun(self._process_by(None, self._order()))
        self._accept(session, answer)
        return session

    def _begun(self, process: WorkerProcess) -> tuple[Session, Answer]:
        """Make a session of a process, and wait for its first line."""
        session = Session(
            process,
            max_output_bytes=self._limits.max_output_bytes,
            max_response_bytes=self._limits.max_response_bytes,
        )
        return session, session.start(self._startup_seconds)

    def _process(self) -> WorkerProcess:
        """Start a supervisor and its worker: by a template where there is one, else fresh."""
        order = self._order()
        self.choice = self._choose(order)
        template = self.choice.template or self._for_fresh()
        if template is not None:
            try:
                return self._process_by(template, order)
            except Unusable as error:
                if template is self.choice.template:
                    self.choice = Choice(None, str(error))
        return self._process_by(None, order)

    def _for_fresh(self) -> Forking | None:
        """Give a template that forks the supervisor of a fresh worker; None to start that fresh."""
        return None

    def _process_by(self, template: Forking | None, order: protocol.Start) -> WorkerProcess:
        with ExitStack() as undo:
            group = self._group(template)
            if group is not None:
                undo.callback(group.remove)
            process = WorkerProcess(
                order,
                mark=self._private.beginning,
                prefix=self._prefix(),
                group=group,
                template=template,
            )
            undo.pop_all()
            return process

    def _choose(self, order: protocol.Start) -> Choice:
        """Decide how the worker is started; the reason is for the result."""
        return Choice(None, "a script is run once")

    def _accept(self, session: Session, answer: Answer) -> None:
        """Raise HandlerEnvironmentError for a worker that cannot be talked to."""
        if session.ready is None or answer.ending is not None:
            session.close()
            raise HandlerEnvironmentError(self._explain(answer))
        version = tuple(int(part) for part in session.ready.python.split(".")[:2])
        if version < OLDEST:
            session.close()
            raise HandlerEnvironmentError(
                f"environment: {self.interpreter.executable} is Python {session.ready.python}; "
                "the worker needs 3.8 or newer"
            )

    def _order(self) -> protocol.Start:
        return protocol.Start(
            argv=[self.interpreter.executable, "-s", "-S", CHILD, "serve"],
            environ=environment.variables(self._guest, self.interpreter, self._private),
            directory=str(self._guest.directory),
            memory_bytes=self._memory_bytes,
            max_processes=self._limits.max_processes,
            max_file_bytes=self._limits.max_file_bytes,
        )

    def _group(self, template: Forking | None) -> cgroups.Group | None:
        """Make the worker's control group; None where the plan has none. Raises WorkerError."""
        if not self.plan.has("cgroup"):
            return None
        image = template.warmed.anonymous_bytes if template and not template.spawns else 0
        try:
            return cgroups.Group(
                cgroups.here(),
                memory_bytes=self._memory_bytes,
                max_processes=self._limits.max_processes,
                inherited_bytes=image,
            )
        except cgroups.Unavailable as error:
            raise WorkerError(f"there is no room for a worker's control group: {error}") from None

    def _prefix(self) -> list[str]:
        if not self.plan.has("bwrap"):
            return []
        shm = self._memory_bytes
        # Not the TMPDIR: in it the way to the run directory is made, when that lies in /tmp.
        os.mkdir(self._private.sandbox_tmp)
        view = bubblewrap.View(
            writable=tuple(self._writable()),
            readable=tuple(self._readable()),
            private=self._private.sandbox_tmp,
        )
        return bubblewrap.prefix(
            view, network=self._guest.asked.network is True, shm_bytes=shm or bubblewrap.SHM_BYTES
        )

    def _writable(self) -> list[str]:
        """List what a worker may write: what it was given, and its private directories."""
        given = [str(path) for path in self._guest.writable]
        own = [self.interpreter.private] if self.interpreter.private else []
        return [*given, *own, self._private.home, self._private.tmp]

    def _readable(self) -> list[str]:
        """List what a worker must be able to read, wherever it lies."""
        paths = [str(path) for path in (*self._guest.readable, self._guest.directory)]
        paths += [os.path.dirname(CHILD), CLOUDPICKLE]
        return paths + environment.installation(self.interpreter)

    def _enclosure(self) -> dict[str, Any]:
        """Give the fields of a first request that hold the worker in before it does anything."""
        return {
            "python_path": self._guest.asked.environ_vars.get("PYTHONPATH"),
            "fence": self._fence(),
            "seccomp": seccomp.program() if self.plan.has("seccomp") else None,
            "count_unrouted": self.plan.has("bwrap") and self._guest.asked.network is not True,
        }

    def summary(self, session: Session) -> EnvironmentSummary:
        """Describe what a worker that was started here runs on."""
        assert session.ready is not None
        return self.interpreter.summary(
            session.ready.python,
            warm=self.choice.template is not None,
            reason=self.choice.reason,
        )

    def _fence(self) -> protocol.Fence | None:
        if not self.plan.has("landlock"):
            return None
        private = ["/tmp"] if self.plan.has("bwrap") else []
        return protocol.Fence(
            writable=[*self._writable(), *private, *DEVICES],
            deny_tcp=self._guest.asked.network is False,
        )

    @property
    def _memory_bytes(self) -> int | None:
        limit = self._limits.memory_limit_mb
        return None if limit is None else int(limit * MIB)

    @property
    def _startup_seconds(self) -> float:
        seconds = self._limits.startup_timeout_seconds
        assert seconds is not None  # effective_limits fills it
        return seconds

    def _explain(self, answer: Answer) -> str:
        log = answer.log
        words = f"; its last words: {(log.head + log.tail).strip()[-2000:]}" if log else ""
        return (
            f"environment: the worker did not start under {self.interpreter.executable}: "
            f"{_why(answer)}"
            f"{words}; check that this is a Python 3.8 or newer"
        )


class HandlerLauncher(Launcher):
    """Starts workers for one handler, and has them import it."""

    def __init__(
        self,
        spec: InferenceHandlerSpec,
        package: Package,
        folder: Path,
        interpreter: Interpreter,
        templates: Choosing | None = None,
    ) -> None:
        """Raise IsolationUnavailableError for what cannot be had."""
        self._templates = templates
        guest = Guest(
            spec,
            package.model_dir,
            readable=package.sys_path,
            writable=(folder,) if spec.model_dir_writable else (),
            variables=environment.of_container(spec, package),
        )
        super().__init__(guest, folder, interpreter)
        self._spec = spec
        self._package = package

    def load(self, session: Session, name: str) -> Answer:
        """Let the worker import the handler, under the startup timeout."""
        paths = [str(path) for path in self._package.sys_path]
        return session.request(
            protocol.Load(
                id=name,
                module=self._package.module,
                model_dir=str(self._package.model_dir),
                sys_path=paths,
                handler_roots=[str(self._package.code_dir), str(self._package.model_dir)],
                stack=self._spec.stack,
                directory=None if serving.of(self._spec).in_model_dir else self._private.home,
                cloudpickle_dir=CLOUDPICKLE,
                max_response_bytes=self._limits.max_response_bytes,
                **self._enclosure(),
            ),
            self._startup_seconds,
        )

    def learn(self, modules: list[str]) -> None:
        """Remember what the handler had imported when its model was there, for the next worker."""
        if self._templates is not None:
            self._templates.learn(self._imports.digest, modules)

    def _choose(self, order: protocol.Start) -> Choice:
        """Decide how the worker is started; the reason is for the result."""
        if self._spec.start == "fresh":
            return Choice(None, "asked for")
        if self._templates is None:
            return Choice(None, "one run, after which nothing is kept")
        if self.plan.has("bwrap"):
            return Choice(None, "a sandbox has processes of its own only")
        if self.interpreter.kind not in SHARED or self.interpreter.private is not None:
            return Choice(None, "its packages are the handler's own")
        if not hasattr(os, "pidfd_open"):
            return Choice(None, "this system cannot watch a process that is no child")
        return self._templates.choose(self._wanted(order), forced=self._spec.start == "warm")

    def _for_fresh(self) -> Forking | None:
        possible = not self.plan.has("bwrap") and hasattr(os, "pidfd_open")
        return self._templates.for_a_fresh_worker() if self._templates and possible else None

    def _wanted(self, order: protocol.Start) -> Wanted:
        """Say what the worker would like to find imported, and what would be in its way."""
        own = self._package.sys_path
        found = imports.of_handler(self._package.handler_file, own)
        further = self._spec.environ_vars.get("PYTHONPATH", "").split(os.pathsep)
        self._digest = found.digest
        names = imports.importable([*own, *map(Path, filter(None, further))])
        places = (self._folder, self._package.code_dir, self._package.model_dir)
        return wanted(
            self.interpreter.executable,
            {
                name: text
                for name, text in order.environ.items()
                if not any(str(place) in text for place in places)
            },
            [*safe(found.modules), *self._spec.preload],
            own_names=names,
            digest=found.digest,
            timeout_s=self._startup_seconds,
        )

    @cached_property
    def _imports(self) -> imports.Imports:
        return imports.of_handler(self._package.handler_file, self._package.sys_path)


def _why(answer: Answer) -> str:
    """Say why a worker did not begin."""
    ending = answer.ending
    return "it sent something else than its greeting" if ending is None else ending.detail
