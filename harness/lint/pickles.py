"""Pickled files and what they refer to, read opcode by opcode and never loaded.

A pickle names the classes and functions that loading it calls: what is not in the package, not in
the container, or not meant to be called from data shows here. joblib's files and torch's archives
hold pickles too.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.lint.finding import Finding, Subject

_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".p", ".sav", ".pt", ".pth", ".bin", ".ckpt"})
_MAX_BYTES = 256 << 20
_ZLIB = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
_GZIP = b"\x1f\x8b"
# SHORT_BINUNICODE module, SHORT_BINUNICODE name, STACK_GLOBAL, each string memoized or not
_LITERAL = re.compile(
    rb"\x8c(.)([A-Za-z_][\w.]{0,250})\x94?\x8c(.)([A-Za-z_][\w.]{0,250})\x94?\x93", re.DOTALL
)
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
# What no model needs: names that run commands, read or write files, or import by name.
_DANGEROUS_MODULES = {"os", "posix", "nt", "subprocess", "pty", "shutil", "socket", "sys", "runpy"}
_DANGEROUS_MODULES |= {
    "importlib",
    "ctypes",
    "webbrowser",
    "commands",
    "asyncio",
    "multiprocessing",
}
_DANGEROUS_BUILTINS = {"eval", "exec", "compile", "open", "__import__", "getattr", "setattr"}
_DANGEROUS_BUILTINS |= {"delattr", "globals", "input", "breakpoint"}


def globals_of(file: Path) -> list[tuple[str, str]]:
    """List (module, name) of everything that loading a pickled file would look up.

    Empty for a file that holds no pickle. joblib puts raw arrays between a pickle's opcodes: behind
    the first of them only names that are written out in full are seen.
    """
    found: dict[tuple[str, str], None] = {}
    for data in _pickles(file):
        for item in _globals(data):
            found.setdefault(item)
    return list(found)


def rule(subject: Subject) -> Iterator[Finding]:
    """Find pickles that run commands when loaded, and those that refer to `__main__`."""
    for file in subject.files:
        if file.suffix.lower() not in _SUFFIXES:
            continue
        place = subject.place(file)
        for module, name in globals_of(file):
            top = module.partition(".")[0]
            if top in _DANGEROUS_MODULES or (
                top in ("builtins", "__builtin__") and name in _DANGEROUS_BUILTINS
            ):
                told = f"loading it calls {module}.{name}, which no model needs"
                yield Finding("HP801", "error", told, place)
            elif top == "__main__":
                told = (
                    f"it refers to __main__.{name}, which is the server's own main module there: "
                    "define the class in a module of code/ and save the model anew"
                )
                yield Finding("HP202", "error", told, place)


def _pickles(file: Path) -> Iterator[bytes]:
    """Give the pickled data of a file: as it is, as joblib compresses it, or in torch's archive."""
    if zipfile.is_zipfile(file):  # torch.save since 1.6
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".pkl"):
                    with archive.open(member) as stream:
                        yield stream.read(_MAX_BYTES)
        return
    with file.open("rb") as opened:
        data = opened.read(_MAX_BYTES)
    yield _inflated(data) if data[:2] in _ZLIB or data[:2] == _GZIP else data


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, _MAX_BYTES)
    except zlib.error:
        return b""


def _globals(data: bytes) -> Iterator[tuple[str, str]]:
    """Go through the opcodes; STACK_GLOBAL takes the two strings that were put last."""
    strings: list[str] = []
    memo: dict[int, str | None] = {}
    top: str | None = None
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in ("GLOBAL", "INST"):
                module, _, attribute = str(argument).partition(" ")
                yield module, attribute
            elif name == "STACK_GLOBAL" and len(strings) == 2:
                yield strings[0], strings[1]
            if name == "MEMOIZE":
                memo[len(memo)] = top
                continue
            if name in ("BINPUT", "LONG_BINPUT", "PUT"):
                memo[int(argument)] = top  # type: ignore[arg-type]
                continue
            top = str(argument) if name in _STRINGS else None
            if name in ("BINGET", "LONG_BINGET", "GET"):
                top = memo.get(int(argument))  # type: ignore[arg-type]
            if top is not None:
                strings = [*strings[-1:], top]
    except Exception:  # no pickle, or one with raw arrays between its opcodes
        pass
    for found in _LITERAL.finditer(data):
        if (len(found[2]), len(found[4])) == (found[1][0], found[3][0]):
            yield found[2].decode(), found[4].decode()
