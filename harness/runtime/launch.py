"""From what is to be started to a running worker: a handler here, a script in script_launch.py."""

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import cloudpickle

import worker.protocol as protocol
from harness import serving
from harness.artifacts.package import Package
from harness.environments.interpreters import OLDEST, Interpreter
from harness.errors import HandlerEnvironmentError
from harness.runtime import bubblewrap, cgroups, environment, layers, seccomp
from harness.runtime.evidence import Answer
from harness.runtime.guest import Guest
from harness.runtime.process import CHILD, WorkerProcess
from harness.runtime.session import Session
from harness.runtime.stacks import StackFile
from harness.specs import InferenceHandlerSpec

MIB = 1024 * 1024
CLOUDPICKLE = os.path.dirname(os.path.abspath(cloudpickle.__file__))
# What every program may write to: devices, shared memory, and its own entry in /proc.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm", "/proc/self")


class Launcher:
    """Starts workers for one guest, each with directories of its own below the run directory."""

    def __init__(self, guest: Guest, folder: Path, interpreter: Interpreter) -> None:
        """Raise IsolationUnavailableError for what cannot be had."""
        self._guest = guest
        self._folder = folder
        self._numbers = count(1)
        self._home = folder
        self.plan = layers.plan(guest.asked)
        self.interpreter = interpreter

    def start(self) -> Session:
        """Start a worker and wait for its first line. Raises HandlerEnvironmentError."""
        limits = self._guest.asked.effective_limits
        self._home = self._folder / f"worker-{next(self._numbers)}"
        environment.private_directories(self._home)
        with ExitStack() as undo:
            stacks = StackFile(self._home / "own" / "stacks")
            undo.callback(stacks.close)
            group = self._group()
            if group is not None:
                undo.callback(group.remove)
            process = WorkerProcess(
                self._order(), private=self._home, prefix=self._prefix(), group=group
            )
            undo.pop_all()
        session = Session(
            process,
            stacks,
            max_output_bytes=limits.max_output_bytes,
            max_response_bytes=limits.max_response_bytes,
        )
        self._greet(session)
        return session

    def _greet(self, session: Session) -> None:
        answer = session.start(self._startup_seconds)
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
        limits = self._guest.asked.effective_limits
        return protocol.Start(
            argv=[self.interpreter.executable, "-s", "-S", CHILD, "serve"],
            environ=environment.variables(self._guest, self.interpreter, self._home),
            directory=str(self._guest.directory),
            memory_bytes=limits.memory_limit_mb and int(limits.memory_limit_mb * MIB),
            max_processes=limits.max_processes,
            max_file_bytes=limits.max_file_bytes,
        )

    def _group(self) -> cgroups.Group | None:
        if not self.plan.has("cgroup"):
            return None
        limits = self._guest.asked.effective_limits
        memory = limits.memory_limit_mb and int(limits.memory_limit_mb * MIB)
        return cgroups.Group(
            cgroups.find(), memory_bytes=memory or None, max_processes=limits.max_processes
        )

    def _prefix(self) -> list[str]:
        if not self.plan.has("bwrap"):
            return []
        limits = self._guest.asked.effective_limits
        shm = limits.memory_limit_mb and int(limits.memory_limit_mb * MIB)
        # Not the TMPDIR: in it the way to the run directory is made, when that lies in /tmp.
        private = self._home / "sandbox-tmp"
        private.mkdir()
        view = bubblewrap.View(
            writable=tuple(self._writable()),
            readable=tuple(self._readable()),
            private=str(private),
        )
        return bubblewrap.prefix(
            view, network=self._guest.asked.network is True, shm_bytes=shm or bubblewrap.SHM_BYTES
        )

    def _writable(self) -> list[str]:
        """List what a worker may write: what it was given, and its private directories."""
        given = [str(path) for path in self._guest.writable]
        private = [self.interpreter.private] if self.interpreter.private else []
        return [*given, *private, *(str(self._home / name) for name in environment.PRIVATE)]

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
            "stack_file": str(self._home / "own" / "stacks"),
            "count_unrouted": self.plan.has("bwrap") and self._guest.asked.network is not True,
        }

    def _fence(self) -> protocol.Fence | None:
        if not self.plan.has("landlock"):
            return None
        private = ["/tmp"] if self.plan.has("bwrap") else []
        return protocol.Fence(
            writable=[*self._writable(), *private, *DEVICES],
            deny_tcp=self._guest.asked.network is False,
        )

    @property
    def _startup_seconds(self) -> float:
        seconds = self._guest.asked.effective_limits.startup_timeout_seconds
        assert seconds is not None  # effective_limits fills it
        return seconds

    def _explain(self, answer: Answer) -> str:
        ending = answer.ending
        what = ending.detail if ending is not None else "it sent something else than its greeting"
        log = answer.log
        words = f"; its last words: {(log.head + log.tail).strip()[-2000:]}" if log else ""
        return (
            f"environment: the worker did not start under {self.interpreter.executable}: {what}"
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
    ) -> None:
        """Raise IsolationUnavailableError for what cannot be had."""
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
                directory=None if serving.of(self._spec).in_model_dir else str(self._home / "home"),
                cloudpickle_dir=CLOUDPICKLE,
                max_response_bytes=self._guest.asked.effective_limits.max_response_bytes,
                **self._enclosure(),
            ),
            self._startup_seconds,
        )
