"""The plan that a level makes of the probes, what a refusal says, and what the doctor tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import InferenceHandlerSpec, IsolationUnavailableError
from harness.cli import main
from harness.runtime import isolation, layers, seccomp
from harness.runtime.layers import Probe

VERSIONS = {"landlock": "7", "cgroup": "v2", "bwrap": "0.8.0", "seccomp": "2"}
NAMES = tuple(VERSIONS)

Replace = Callable[..., None]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Replace the probes: the named layers work, the others say why they do not."""

    def replace(*names: str, **versions: str) -> None:
        there = {name: VERSIONS[name] for name in names} | versions
        probes = {name: _probe(name, there.get(name)) for name in NAMES}
        monkeypatch.setattr(layers, "PROBES", {name: _say(probes[name]) for name in NAMES})
        monkeypatch.setattr(seccomp, "installed", lambda: "seccomp" in there)

    return replace


def _probe(name: str, version: str | None) -> Probe:
    if version is not None:
        return Probe(name, version)
    return Probe(name, None, f"the {name} probe's own words", f"the remedy for {name}")


def _say(probe: Probe) -> Callable[[], Probe]:
    return lambda: probe


def spec(**fields: Any) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(handler_name="x", packaged_model_path="x.tar.gz", **fields)


# ---------------------------------------------------------------- the plan of a level


@pytest.mark.parametrize(
    ("level", "effective"),
    [
        ("process", ["process"]),
        ("auto", ["process", "landlock:7", "cgroup:v2"]),
        ("bwrap", ["process", "bwrap:0.8.0"]),
        ("max", ["process", "landlock:7", "cgroup:v2", "bwrap:0.8.0"]),
    ],
)
def test_level_takes_its_layers(level: str, effective: list[str], found: Replace) -> None:
    found("landlock", "cgroup", "bwrap")
    asked = spec(isolation=level)
    told = isolation.in_force(asked, layers.plan(asked), subreaper=True)
    assert (told.requested, told.effective, told.missing) == (level, effective, [])


@pytest.mark.parametrize("works", [(), ("landlock",), ("cgroup",)])
def test_auto_does_with_less_and_says_so(works: tuple[str, ...], found: Replace) -> None:
    found(*works)
    asked = spec()
    told = isolation.in_force(asked, layers.plan(asked), subreaper=True)
    assert told.effective == ["process", *(f"{name}:{VERSIONS[name]}" for name in works)]
    missing = [name for name in ("landlock", "cgroup") if name not in works]
    assert [(item.layer, item.reason) for item in told.missing] == [
        (name, f"the {name} probe's own words") for name in missing
    ]


def test_auto_takes_seccomp_where_it_is_installed_and_the_network_denied(found: Replace) -> None:
    found("landlock", "seccomp")
    assert layers.plan(spec()).has("seccomp")
    assert not layers.plan(spec(network=True)).has("seccomp")
    assert not layers.plan(spec(isolation="process")).has("seccomp")


@pytest.mark.parametrize(
    ("level", "works", "refused"),
    [
        ("bwrap", ("landlock", "cgroup"), ["bwrap"]),
        ("max", ("landlock", "cgroup"), ["bwrap"]),
        ("max", ("bwrap", "landlock"), ["cgroup"]),
        ("max", ("bwrap",), ["landlock", "cgroup"]),
    ],
)
def test_explicit_level_is_refused_with_the_probes_words(
    level: str, works: tuple[str, ...], refused: list[str], found: Replace
) -> None:
    found(*works)
    with pytest.raises(IsolationUnavailableError) as raised:
        layers.plan(spec(isolation=level))
    text = str(raised.value)
    assert text.startswith(f"isolation={level!r} cannot be had here: ")
    for name in refused:
        assert f"{name}: the {name} probe's own words" in text
    assert f"the remedy for {refused[0]}" in text
    assert not [name for name in works if name in text]


def test_process_needs_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "PROBES", {})
    assert layers.plan(spec(isolation="process")).layers == ()


@pytest.mark.parametrize("level", ["process", "auto"])
def test_loopback_is_refused_without_a_network_namespace(level: str, found: Replace) -> None:
    found(*NAMES)
    with pytest.raises(IsolationUnavailableError, match='network="loopback" needs a network name'):
        layers.plan(spec(isolation=level, network="loopback"))


@pytest.mark.parametrize("level", ["bwrap", "max"])
def test_loopback_is_had_in_a_sandbox(level: str, found: Replace) -> None:
    found(*NAMES)
    asked = spec(isolation=level, network="loopback")
    assert isolation.in_force(asked, layers.plan(asked), subreaper=True).network == "loopback"


# ---------------------------------------------------------------- what is told of it


@pytest.mark.parametrize(
    ("works", "level", "network", "told"),
    [
        ({}, "auto", False, "allowed"),
        ({"landlock": "3"}, "auto", False, "allowed"),
        ({"landlock": "4"}, "auto", False, "tcp_denied"),
        ({"landlock": "4", "seccomp": "2"}, "auto", False, "no_inet"),
        ({"landlock": "4", "seccomp": "2"}, "auto", True, "allowed"),
        ({"bwrap": "0.8.0"}, "bwrap", False, "none"),
        ({"bwrap": "0.8.0"}, "bwrap", True, "allowed"),
    ],
)
def test_network_is_told_as_it_is(
    works: dict[str, str], level: str, network: bool, told: str, found: Replace
) -> None:
    found(**works)
    asked = spec(isolation=level, network=network)
    assert isolation.in_force(asked, layers.plan(asked), subreaper=True).network == told


@pytest.mark.parametrize(
    ("works", "level", "filesystem", "kill"),
    [
        ((), "auto", "open", "subreaper"),
        (("landlock",), "auto", "landlock", "subreaper"),
        (("bwrap",), "bwrap", "ro_root", "pid_namespace"),
    ],
)
def test_files_and_kill_are_told_as_they_are(
    works: tuple[str, ...], level: str, filesystem: str, kill: str, found: Replace
) -> None:
    found(*works)
    asked = spec(isolation=level)
    told = isolation.in_force(asked, layers.plan(asked), subreaper=True)
    assert (told.filesystem, told.kill) == (filesystem, kill)


def test_without_a_subreaper_the_kill_is_best_effort(found: Replace) -> None:
    found()
    told = isolation.in_force(spec(), layers.plan(spec()), subreaper=False)
    assert told.kill == "best_effort"


@pytest.mark.parametrize(
    ("works", "limit", "enforcer"),
    [((), 300, "watchdog"), (("cgroup",), 300, "cgroup"), (("cgroup",), None, "none")],
)
def test_memory_is_told_with_who_holds_it(
    works: tuple[str, ...], limit: int | None, enforcer: str, found: Replace
) -> None:
    found(*works)
    asked = spec(limits={"memory_limit_mb": limit})
    told = isolation.in_force(asked, layers.plan(asked), subreaper=True).memory
    assert told.enforcer == enforcer
    assert (told.interval_ms is None) is (enforcer != "watchdog")


# ---------------------------------------------------------------- the doctor


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Callable[[Probe], None]:
    def replace(probe: Probe) -> None:
        monkeypatch.setattr(layers, "process", lambda: probe)

    return replace


PROCESS = Probe("process", "6.1")


def doctor(*options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options], env={"COLUMNS": "200"})


def findings() -> dict[str, dict[str, Any]]:
    done = doctor("--json")
    return {item["layer"]: item for item in json.loads(done.stdout)}


def test_doctor_passes_what_works(found: Replace, base: Callable[[Probe], None]) -> None:
    found(*NAMES)
    base(PROCESS)
    told = findings()
    assert list(told) == ["process", *NAMES]
    assert {item["verdict"] for item in told.values()} == {"PASS"}
    assert {name: told[name]["version"] for name in NAMES} == VERSIONS
    assert all(item["detail"] and item["remedy"] == "" for item in told.values())


def test_doctor_skips_what_is_missing_with_reason_and_remedy(
    found: Replace, base: Callable[[Probe], None]
) -> None:
    found("landlock")
    base(PROCESS)
    assert findings()["bwrap"] == {
        "layer": "bwrap",
        "verdict": "SKIPPED",
        "version": None,
        "detail": "the bwrap probe's own words",
        "remedy": "the remedy for bwrap",
    }
    assert doctor().exit_code == doctor("--json").exit_code == 0


def test_doctor_cautions_of_what_works_in_part(
    found: Replace, base: Callable[[Probe], None]
) -> None:
    found()
    base(Probe("process", "6.1", "there is swap"))
    told = findings()["process"]
    assert told["verdict"] == "CAUTION"
    assert told["detail"].endswith("; there is swap")
    assert doctor().exit_code == 0


def test_doctor_fails_without_the_process_layer(
    found: Replace, base: Callable[[Probe], None]
) -> None:
    found("bwrap")
    base(Probe("process", None, "no pidfd", "Use Linux 5.3 or newer."))
    assert findings()["process"]["verdict"] == "FAIL"
    assert doctor().exit_code == doctor("--json").exit_code == 4


def test_doctor_tells_people_the_same(found: Replace, base: Callable[[Probe], None]) -> None:
    found("landlock")
    base(PROCESS)
    told, text = findings(), doctor().output
    for item in told.values():
        (line,) = [row for row in text.splitlines() if f" {item['layer']} " in row]
        for cell in ("verdict", "detail", "remedy"):
            words = item[cell].split()[:2]
            assert " ".join(words) in line, (cell, line)


def test_doctor_shows_what_is_in_brackets(
    found: Replace, base: Callable[[Probe], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    found("landlock")
    base(PROCESS)
    missing = Probe("seccomp", None, "no [pyseccomp]", "Install handlerproof[seccomp].")
    monkeypatch.setitem(layers.PROBES, "seccomp", lambda: missing)
    text = doctor().output
    assert "handlerproof[seccomp]" in text
    assert "[pyseccomp]" in text


def test_doctor_uses_the_probes_of_a_run_here() -> None:
    probes = [layers.process(), *(probe() for probe in layers.PROBES.values())]
    told = json.loads(doctor("--json").stdout)
    assert [(item["layer"], item["version"]) for item in told] == [
        (probe.layer, probe.version) for probe in probes
    ]
