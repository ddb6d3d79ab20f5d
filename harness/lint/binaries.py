"""Compiled files that the endpoint's machine cannot load: another system, processor or Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.lint.finding import Finding, Subject

# The ELF header's e_machine (System V ABI) of the processors that SageMaker has.
_ELF = {0x3E: "x86_64", 0xB7: "aarch64"}
_MACH = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_SUFFIXES = (".so", ".pyd", ".dylib", ".dll")
_TAG = re.compile(r"\.cpython-3(\d+)-")


def rule(subject: Subject) -> Iterator[Finding]:
    """Find compiled files for another system, and of two processors or two Pythons at once."""
    machines: dict[str, str] = {}
    pythons: dict[str, str] = {}
    for file in subject.files:
        if not file.name.endswith(_SUFFIXES) and ".so." not in file.name:
            continue
        place = subject.place(file)
        system, machine = _made_for(file)
        if system != "Linux":
            told = f"it is made for {system or 'no known system'}; endpoints run Linux"
            yield Finding("HP803", "error", told, place)
        elif machine:
            machines.setdefault(machine, place)
        tag = _TAG.search(file.name)
        if tag:
            pythons.setdefault(f"3.{tag[1]}", place)
    yield from _mixed(machines, "processors")
    yield from _mixed(pythons, "versions of Python")


def _mixed(seen: dict[str, str], what: str) -> Iterator[Finding]:
    if len(seen) > 1:
        told = f"compiled files for different {what} are in one package: {', '.join(seen)}"
        yield Finding("HP804", "error", told, list(seen.values())[-1])


def _made_for(file: Path) -> tuple[str, str]:
    """Tell (system, processor) by the file's first bytes; empty where they tell nothing."""
    with file.open("rb") as opened:
        head = opened.read(20)
    if head[:4] == b"\x7fELF" and len(head) == 20:
        order = "little" if head[5] == 1 else "big"
        machine = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
        return "Linux", _ELF.get(machine, f"machine {machine}")
    if head[:4] in _MACH:
        return "macOS", ""
    return ("Windows", "") if head[:2] == b"MZ" else ("", "")
