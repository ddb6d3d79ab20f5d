"""Import packages into a template, and see what they do beside being imported.

What cannot be had twice by a fork makes a package unsafe: threads, children, descriptors, shared
memory. So does what a fresh worker's log or directories would show. The tester then starts another
template without it.
"""

from __future__ import annotations

import os
import sys

MAX_REASON_CHARS = 200


class Preload:
    """What was imported into this process, what could not be, and what must not be."""

    def __init__(self, output: int, directory: str) -> None:
        """Take the descriptor at which this process's output comes out, and its own directory."""
        self.imported: list[str] = []
        self.left_out: dict[str, str] = {}
        self.unsafe: dict[str, str] = {}
        self._output = output
        self._directory = directory
        os.set_blocking(output, False)
        self.refusal = self._refusal()

    def _refusal(self) -> str | None:
        """Say why the environment itself, before any package, must be started fresh."""
        what = _worst(self._traces())
        return "the environment by itself %s" % what if what else None

    def import_all(self, modules: list[str]) -> None:
        """Import modules ("a.b"), and names that may be modules of a package ("a.b:name")."""
        for entry in modules:
            module, _, name = entry.partition(":")
            try:
                __import__(module, fromlist=[name or "__name__"])
                self.imported.append(entry)
            except Exception as error:  # the handler's own import may expect it
                self.left_out[entry] = ("%s: %s" % (type(error).__name__, error))[:MAX_REASON_CHARS]
            except BaseException as error:
                self.unsafe[entry] = "raised %s" % type(error).__name__
            what = _worst(self._traces())
            if what:
                self.unsafe[entry] = what
            if self.unsafe:
                return

    def _traces(self) -> dict[str, int]:
        """Count what an import should not leave; every count is 0 in a template that may fork."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        threads = os.listdir("/proc/self/task")
        children = 0
        for thread in threads:
            with open("/proc/self/task/%s/children" % thread) as file:
                children += len(file.read().split())
        return {
            "starts threads": len(threads) - 1,
            "starts processes": children,
            "opens descriptors": self._descriptors(),
            "shares memory": _shared_mappings(),
            "prints": self._printed(),
            "writes files": sum(len(names) for _, _, names in os.walk(self._directory)),
        }

    def _descriptors(self) -> int:
        count = len(os.listdir("/proc/self/fd"))
        if not hasattr(self, "_usual"):
            self._usual = count
        return count - self._usual

    def _printed(self) -> int:
        try:
            return len(os.read(self._output, 1))
        except BlockingIOError:
            return 0


def _shared_mappings() -> int:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        return sum(line.split(None, 2)[1] == "rw-s" for line in maps)


def _worst(traces: dict[str, int]) -> str | None:
    return next((what for what, count in traces.items() if count > 0), None)
