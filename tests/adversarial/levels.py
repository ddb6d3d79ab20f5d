"""The levels under which every fault is run: as this user, and as one without privileges.

All rows are run under every level; of the death matrix, which is about the worker and not about
what holds it in, the whole under `auto` and a tenth under each other level. Of the rows where a
template forked worker or supervisor, some. With scripts/test --long, all of it everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

import psutil
import pytest

from harness import InferenceHandlerSpec, InferenceTestResult
from harness.runtime import layers
from tests.adversarial.faults import FAULTS, LONG, MATRIX, Fault

SHARE_OF_THE_MATRIX = 10
SHARE_OF_THE_FORKED = 4  # of the other rows, where a template forked worker or supervisor


@dataclass(frozen=True)
class Level:
    """A level of isolation, how workers start, and whether the tester has no privileges.

    `kept`: the tester has tested before, so that a template forks the supervisor of a fresh worker.
    """

    name: str
    isolation: str
    nobody: bool = False
    start: str = "fresh"
    kept: bool = False


AUTO = Level("auto", "auto")
WARM = Level("warm", "auto", start="warm")
KEPT = Level("kept", "auto", kept=True)
AS_ROOT = (Level("process", "process"), AUTO, Level("bwrap", "bwrap"), Level("max", "max"))
AS_NOBODY = (Level("auto-nobody", "auto", True), Level("bwrap-nobody", "bwrap", True))
LEVELS = (*AS_ROOT, *AS_NOBODY, WARM, KEPT)
BESIDE_OTHERS = Level("beside others", "auto")  # a tenth of the matrix is enough there


def rows() -> list[object]:
    """Give every (level, fault) that is to be run, as parameters of a test."""
    return [
        pytest.param(level, fault, id=f"{fault.id}-{level.name}")
        for number, level in enumerate(LEVELS)
        for fault in faults_under(level, number)
    ]


def faults_under(level: Level, offset: int = 0) -> list[Fault]:
    """List the faults to run under a level; each has another tenth of the matrix."""
    whole = LONG or level is AUTO
    cells = MATRIX if whole else MATRIX[offset::SHARE_OF_THE_MATRIX]
    share = SHARE_OF_THE_FORKED if level in (WARM, KEPT) and not LONG else 1
    return [
        fault
        for number, fault in enumerate(FAULTS, level is KEPT)
        if (fault in MATRIX or number % share == 0)
        and (fault not in MATRIX or fault in cells)
        and (not fault.only or level.isolation in fault.only)
        and (not fault.costly or whole)
    ]


def words(probes: dict[str, layers.Probe], spec: InferenceHandlerSpec) -> set[str]:
    """Name what a spec must have in force on a machine, going by its probes."""
    wanted = [*layers.WANTED[spec.isolation]]
    if spec.isolation == "auto" and spec.network is False:
        wanted.append("seccomp")
    there = [probes[name] for name in wanted if probes[name].works]
    return {"process", *(f"{probe.layer}:{probe.version}" for probe in there)}


def in_force(result: InferenceTestResult) -> set[str]:
    """Name the layers of a result as rows do: landlock and landlock:1 to its ABI, and so on."""
    assert result.isolation is not None
    found: set[str] = set()
    for text in result.isolation.effective:
        layer, _, version = text.partition(":")
        found.add(layer)
        if layer == "landlock":
            found |= {f"landlock:{abi}" for abi in range(1, int(version) + 1)}
    return found


def why_not(probes: dict[str, layers.Probe], isolation: str) -> str | None:
    """Say with the probe's words why a level cannot be had; None when it can."""
    if isolation == "auto":
        return None
    missing = [probes[name] for name in layers.WANTED[isolation] if not probes[name].works]
    return "; ".join(f"{probe.layer}: {probe.reason}" for probe in missing) or None


def new_namespaces(before: Collection[str]) -> set[str]:
    """List the process namespaces of the machine that were not there before."""
    return namespaces() - set(before)


def namespaces() -> set[str]:
    """List the other process namespaces that this process has made, or that nobody alive has."""
    own, found = _namespace("self"), set()
    for name in os.listdir("/proc"):
        namespace = _namespace(name) if name.isdigit() else None
        if namespace not in (None, own) and not _is_a_neighbours(int(name)):
            found.add(str(namespace))
    return found


def _namespace(process: str) -> str | None:
    try:
        return os.readlink(f"/proc/{process}/ns/pid")
    except OSError:  # gone meanwhile, or not ours to see
        return None


def _is_a_neighbours(pid: int) -> bool:
    """Say whether a process in a sandbox was started by a living process that is not of ours."""
    try:
        above = psutil.Process(pid).parents()
    except psutil.Error:
        return False
    own = _namespace("self")
    ours = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    if os.getpid() in {process.pid for process in above}:
        return False
    makers = [process for process in above if process.pid not in ours]
    return any(_namespace(str(one.pid)) == own and _name(one) != "bwrap" for one in makers)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
