"""The layers of isolation, each detected by doing, and the plan that a spec's level makes of them.

An `auto` plan takes what there is and names what is missing; an explicit level is had whole or
refused with the probe's own words.
"""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

import psutil

from harness.errors import IsolationUnavailableError
from harness.runtime import bubblewrap, cgroups, seccomp
from harness.runtime.guest import Asked
from harness.runtime.process import CHILD

WANTED = {
    "process": (),
    "auto": ("landlock", "cgroup"),
    "bwrap": ("bwrap",),
    "max": ("landlock", "cgroup", "bwrap"),
}
PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Probe:
    """What trying a layer showed: its version when it works, else the reason and the remedy."""

    layer: str
    version: str | None
    reason: str = ""
    remedy: str = ""

    @property
    def works(self) -> bool:
        """Whether the layer can be used here."""
        return self.version is not None


@dataclass(frozen=True)
class Plan:
    """The layers to use for one handler, and those that were wanted and cannot be had."""

    requested: str
    layers: tuple[Probe, ...]
    missing: tuple[Probe, ...]

    def has(self, layer: str) -> bool:
        """Say whether a layer is to be used."""
        return any(probe.layer == layer for probe in self.layers)

    def version(self, layer: str) -> str:
        """Give the version of a layer that is to be used."""
        return next((probe.version or "" for probe in self.layers if probe.layer == layer), "")


def plan(spec: Asked) -> Plan:
    """Decide the layers for a spec. Raises IsolationUnavailableError for what cannot be had."""
    wanted = WANTED[spec.isolation]
    if spec.isolation == "auto" and spec.network is False and seccomp.installed():
        wanted = (*wanted, "seccomp")
    probes = [PROBES[layer]() for layer in wanted]
    missing = tuple(probe for probe in probes if not probe.works)
    if missing and spec.isolation != "auto":
        told = "; ".join(f"{probe.layer}: {probe.reason}" for probe in missing)
        raise IsolationUnavailableError(
            f"isolation={spec.isolation!r} cannot be had here: {told}. {missing[0].remedy}"
        )
    chosen = tuple(probe for probe in probes if probe.works)
    if spec.network == "loopback" and not any(probe.layer == "bwrap" for probe in chosen):
        raise IsolationUnavailableError(
            'network="loopback" needs a network namespace; set isolation="bwrap" or "max"'
        )
    return Plan(spec.isolation, chosen, missing)


@cache
def process() -> Probe:
    """Look for what the layer under all others needs of the kernel."""
    if not hasattr(os, "pidfd_open") or not os.path.isdir("/proc/self/task"):
        reason = "not Linux, or an old one: memory and processes of a tree are not watched"
        return Probe("process", platform.system(), reason, "Use Linux 5.3 or newer.")
    swap = _swap_bytes()
    reason = "there is swap, so a memory limit counts what is in memory only" if swap else ""
    return Probe("process", platform.release(), reason)


def _swap_bytes() -> int:
    return int(psutil.swap_memory().total)


@cache
def landlock() -> Probe:
    """Try Landlock in a process of its own: restrict it, and see a write refused."""
    said, code = _try([sys.executable, "-I", "-S", CHILD, "landlock"])
    if code == 0 and said.isdigit():
        return Probe("landlock", said)
    return Probe("landlock", None, said, "Linux 5.13 or newer with Landlock enabled has it.")


@cache
def cgroup() -> Probe:
    """Make a control group below our own, set its limits, and remove it."""
    try:
        place = cgroups.here()
    except cgroups.Unavailable as error:
        remedy = "Run the tester in a delegated cgroup: systemd-run --user --scope -p Delegate=yes."
        return Probe("cgroup", None, str(error), remedy)
    return Probe("cgroup", f"v{place.version}")


@cache
def bwrap() -> Probe:
    """Run the very sandbox that workers get."""
    reason = bubblewrap.probe()
    if reason is None:
        return Probe("bwrap", bubblewrap.version())
    remedy = "Install bubblewrap, and allow unprivileged user namespaces (see docs/isolation.md)."
    return Probe("bwrap", None, reason, remedy)


@cache
def seccomp_filter() -> Probe:
    """Load the very filter that workers get, in a process of its own, and see a socket refused."""
    remedy = "Install handlerproof[seccomp] and the C library libseccomp."
    if not seccomp.installed():
        return Probe("seccomp", None, "the extra is not installed", remedy)
    try:
        command = [sys.executable, "-I", "-S", CHILD, "seccomp", seccomp.program()]
    except seccomp.Unavailable as error:
        return Probe("seccomp", None, str(error), remedy)
    said, code = _try(command)
    return Probe("seccomp", "2") if code == 0 else Probe("seccomp", None, said, remedy)


def _try(command: list[str]) -> tuple[str, int]:
    """Run a probe; give what it said and its exit code."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), -1
    said = done.stdout.decode("ascii", "replace").strip()
    return said or f"the probe ended with {done.returncode}", done.returncode


PROBES = {"landlock": landlock, "cgroup": cgroup, "bwrap": bwrap, "seccomp": seccomp_filter}
