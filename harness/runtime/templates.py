"""Which worker is forked from which template, and which is started fresh, with the reason.

A template stands for one interpreter, the variables that a handler's import can see, and the
modules imported. It lives as long as its tester's `with` block or a batch, and nothing of a handler
is in it.
"""

import contextlib
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.artifacts.workspace import RunDirectory
from harness.runtime.template import Forking, Template, Unusable
from worker.protocol import SAFE_PACKAGES

MAX_TEMPLATES = 4
START_S = 20.0  # of one that imports nothing
SECOND = 2  # from so many workers of a key on, a template is cheaper than fresh starts


@dataclass(frozen=True)
class Key:
    """What a template stands for; the modules as in `artifacts.imports`."""

    executable: str
    variables: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What one worker's template would be, and what it must not have loaded."""

    key: Key
    own_names: frozenset[str]
    digest: str
    timeout_s: float


@dataclass(frozen=True)
class Choice:
    """How a worker is to be started, and why."""

    template: Forking | None
    reason: str


class Choosing(Protocol):
    """What the start of a worker needs of a tester's templates."""

    def choose(self, wanted: Wanted, *, forced: bool) -> Choice:
        """Give the template for a worker, started if that pays, or the reason for a fresh start."""

    def for_a_fresh_worker(self) -> Forking | None:
        """Give the template whose supervisors start fresh workers, where one pays or is there."""

    def learn(self, digest: str, modules: Iterable[str]) -> None:
        """Remember which modules a handler's model needed: next time they are imported before."""


class Templates:
    """The templates of one tester. Use it in a `with` block: leaving it ends them all."""

    def __init__(self, workspace: Path | None = None, *, eager: bool = False) -> None:
        """`eager`: a template from the first worker on, for whoever knows that more will follow."""
        self._workspace = workspace
        self._eager = eager
        self._lock = threading.Lock()
        self._open = contextlib.ExitStack()
        self._folder: RunDirectory | None = None
        self._asked: Counter[Key] = Counter()
        self._running: OrderedDict[Key, Template] = OrderedDict()
        self._unusable: dict[Key, str] = {}
        self._spawning: Template | None = None
        self._fresh = 0
        self._unsafe: dict[tuple[str, str], str] = {}
        self._learned: dict[str, set[str]] = {}

    def __enter__(self) -> "Templates":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every template."""
        with self._lock:
            while self._running:
                self._running.popitem()[1].close()
            if self._spawning is not None:
                self._spawning.close()
                self._spawning = None
            self._folder = None
            self._open.close()

    def choose(self, wanted: Wanted, *, forced: bool) -> Choice:
        """Give the template for a worker, started if that pays, or the reason for a fresh start."""
        with self._lock:
            key = self._effective(wanted)
            self._asked[key] += 1
            template = self._alive(key)
            if template is None and key not in self._unusable:
                if not (forced or self._eager or self._asked[key] >= SECOND):
                    return Choice(None, "the first worker that needs these modules")
                template = self._start(key, wanted)
            key = self._effective(wanted)  # what was found unsafe is left out of it now
            if template is None:
                return Choice(None, self._unusable[key])
            taken = sorted(wanted.own_names.intersection(template.warmed.packages))
            if taken and key.modules:
                names = ", ".join(taken[:3])
                return Choice(None, f"{names} of the handler's own stands for a module in use")
            return Choice(template, self._told(key, template))

    def for_a_fresh_worker(self) -> Template | None:
        """Give the template whose supervisors start fresh workers, where one pays or is there."""
        with self._lock:
            self._fresh += 1
            if self._spawning is not None and not self._spawning.running:
                self._spawning.close()
                self._spawning = None
            if self._spawning is None and (self._eager or self._fresh >= SECOND):
                with contextlib.suppress(Unusable):
                    directory = self._directory()
                    self._spawning = Template(
                        sys.executable, {}, [], directory, START_S, spawns=True
                    )
            return self._spawning

    def learn(self, digest: str, modules: Iterable[str]) -> None:
        """Remember which modules a handler's model needed: next time they are imported before."""
        with self._lock:
            known = self._learned.setdefault(digest, set())
            known.update(safe(modules))

    def _effective(self, wanted: Wanted) -> Key:
        """Give the key with what was learned, and without what was found unsafe."""
        key = wanted.key
        modules = {*key.modules, *self._learned.get(wanted.digest, ())}
        left = (name for name in modules if (key.executable, name) not in self._unsafe)
        return Key(key.executable, key.variables, tuple(sorted(left)))

    def _alive(self, key: Key) -> Template | None:
        template = self._running.get(key)
        if template is None or template.running:
            if template is not None:
                self._running.move_to_end(key)
            return template
        del self._running[key]
        template.close()
        self._unusable[key] = template.why_ended
        return None

    def _start(self, key: Key, wanted: Wanted) -> Template | None:
        """Start a template; again without what it found unsafe, until one is safe or refuses."""
        while True:
            try:
                template = Template(
                    key.executable,
                    dict(key.variables),
                    key.modules,
                    self._directory(),
                    wanted.timeout_s,
                )
            except Unusable as error:
                self._unusable[key] = str(error)
                return None
            warmed = template.warmed
            if not warmed.unsafe and warmed.refusal is None:
                break
            template.close()
            for name, what in warmed.unsafe.items():
                self._unsafe[key.executable, name] = what
            if warmed.refusal is not None or self._effective(wanted) == key:
                self._unusable[key] = warmed.refusal or "its packages are unsafe to fork"
                return None
            key = self._effective(wanted)
            if key in self._running:
                return self._running[key]
        while len(self._running) >= MAX_TEMPLATES:
            self._running.popitem(last=False)[1].close()
        self._running[key] = template
        return template

    def _directory(self) -> Path:
        if self._folder is None:
            self._folder = self._open.enter_context(RunDirectory(self._workspace))
        return self._folder.make("template")

    def _told(self, key: Key, template: Template) -> str:
        names = {name.partition(":")[0].partition(".")[0] for name in template.warmed.imported}
        imported = ", ".join(sorted(names)) or "nothing but the worker"
        left = [
            f"{name} ({what})"
            for (executable, name), what in self._unsafe.items()
            if executable == key.executable
        ]
        return f"imported before: {imported}" + (f"; left out: {', '.join(left)}" if left else "")


def wanted(
    executable: str,
    variables: Mapping[str, str],
    modules: Sequence[str],
    *,
    own_names: Iterable[str],
    digest: str,
    timeout_s: float,
) -> Wanted:
    """Say what template a worker with these variables wants; HOME and TMPDIR are its own."""
    shared = {name: value for name, value in variables.items() if name not in ("HOME", "TMPDIR")}
    key = Key(executable, tuple(sorted(shared.items())), tuple(sorted(modules)))
    return Wanted(key, frozenset(own_names), digest, timeout_s)


def safe(modules: Iterable[str]) -> list[str]:
    """Pick the modules of packages that are known to be safe."""
    return [name for name in modules if name.partition(":")[0].partition(".")[0] in SAFE_PACKAGES]
