"""The table of faults: one row for each way in which a handler can misbehave, and its verdict.

Case numbers are those of the adversarial suite; "C" is its death matrix, "N" the network. A new
fault is one file in tests/handlers/faulty/ and one row here. Cases that need more than a row are in
ELSEWHERE. Where the layers of isolation differ in what they hold back, the row says it in
`by_layer`; tests/adversarial/levels.py has the levels under which each row is run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FAULTY = Path(__file__).parents[1] / "handlers" / "faulty"
FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn")

# One row of values, and what every handler answers that gets as far as answering.
REQUEST = b"1,2\n"
ANSWER = "6.0"

REQUIRED = frozenset(map(str, range(1, 62))) | {"C", "N"}

# With scripts/test --long: the sizes that the cases name, and the rows that only then are run.
LONG = os.environ.get("HANDLERPROOF_LONG") == "1"

HANG: Mapping[str, Any] = {"timeout_seconds": 1}
SMALL: Mapping[str, Any] = {"memory_limit_mb": 300, "timeout_seconds": 60}


@dataclass(frozen=True)
class Verdict:
    """How the function that is blamed ends, with the evidence that the result must hold."""

    outcome: str
    phase: str = "call"
    signal: str | None = None
    exit_code: int | None = None
    failure: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Fault:
    """One row: a hostile handler, how it is run, and what must be said of it.

    `where` is the one function that is blamed, None where all pass. `log` holds texts that must be
    in the log of a function; `peak_mib` bounds of its peak memory: (function, at least, below);
    `warns` patterns that must be found in the warnings.

    `by_layer` has the fields that differ where a layer is in force; its first layer that is, wins.
    "landlock:6" stands for that ABI or a later one. `only` names the levels to run the row under,
    where the others cannot be asked; none means all. A `costly` row is run under `auto` only,
    but for --long.
    """

    case: str
    file: str
    where: str | None = None
    verdict: Verdict = Verdict("passed")
    environ: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    log: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    peak_mib: tuple[tuple[str, int, int], ...] = ()
    warns: tuple[str, ...] = ()
    by_layer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    costly: bool = False
    note: str = ""

    @property
    def id(self) -> str:
        """Name the row in pytest's output."""
        values = (value.replace("/", "") for value in self.environ.values())
        return "-".join((self.case, self.file, *values))

    def under(self, layers: Collection[str]) -> Fault:
        """Give the row as it is where these layers are in force."""
        for layer, fields in self.by_layer.items():
            if layer in layers:
                return replace(self, **fields)
        return self

    def verdict_on(self, function: str) -> Verdict:
        """Give what must become of a function: before the blamed one passed, after it skipped."""
        if self.where is None or FUNCTIONS.index(function) < FUNCTIONS.index(self.where):
            return Verdict("passed")
        return self.verdict if function == self.where else Verdict("skipped")


def raised(kind: str, message: str = "") -> Verdict:
    return Verdict("raised", failure=kind, message=message)


def at_import(outcome: str, **evidence: Any) -> Verdict:
    return Verdict(outcome, phase="import", **evidence)


def predict_log(*texts: str) -> Mapping[str, tuple[str, ...]]:
    return {"predict_fn": texts}


START = (
    Fault(
        "2",
        "import_error",
        "model_fn",
        at_import("not_started", failure="ModuleNotFoundError", message="surely_there_is_no"),
    ),
    Fault("3", "prints_at_import", log={"model_fn": ("printed at import", "written at import")}),
    Fault(
        "5",
        "stdlib_names_beside",
        beside={"json.py": 'OWNER = "handler"\n', "signal.py": 'OWNER = "handler"\n'},
        note="the handler's own modules win, and the worker does not need the names",
    ),
    Fault(
        "6",
        "hangs_at_import",
        "model_fn",
        at_import("timed_out"),
        limits={"startup_timeout_seconds": 1, "timeout_seconds": 60},
    ),
    Fault("6", "hangs_in_model_fn", "model_fn", Verdict("timed_out"), limits=HANG),
    Fault(
        "7",
        "sys_exit_at_import",
        "model_fn",
        at_import("not_started", failure="SystemExit", message="no licence"),
        note="an exception is raised: not the same as an exit",
    ),
    Fault("7", "os_exit_at_import", "model_fn", at_import("exited", exit_code=3)),
    Fault("7", "segfault_at_import", "model_fn", at_import("crashed", signal="SIGSEGV")),
)

TIME = (
    Fault("8", "sleeps", "predict_fn", Verdict("timed_out"), limits=HANG),
    Fault("9", "busy_loop", "predict_fn", Verdict("timed_out"), limits=HANG),
    Fault("10", "c_call_never_returns", "predict_fn", Verdict("timed_out"), limits=HANG),
    Fault(
        "11",
        "ignores_signals",
        "predict_fn",
        Verdict("timed_out"),
        limits=HANG,
        log=predict_log("signals ignored"),
    ),
    Fault("12", "stops_itself", "predict_fn", Verdict("timed_out"), limits=HANG),
    Fault(
        "13",
        "slow_in_one_phase",
        environ={"IMPORT_S": "0.6", "CALL_S": "0.6"},
        limits={"startup_timeout_seconds": 2, "timeout_seconds": 2},
        note="3 seconds in all: each call has its own deadline",
    ),
    Fault(
        "13",
        "slow_in_one_phase",
        "model_fn",
        at_import("timed_out"),
        environ={"IMPORT_S": "30", "CALL_S": "0"},
        limits={"startup_timeout_seconds": 1, "timeout_seconds": 60},
        note="the limit of the start, not that of a call",
    ),
    Fault(
        "13",
        "slow_in_one_phase",
        "model_fn",
        Verdict("timed_out"),
        environ={"IMPORT_S": "0", "CALL_S": "30"},
        limits={"startup_timeout_seconds": 60, "timeout_seconds": 1},
        note="the limit of a call, not that of the start",
    ),
)

DEATHS: Mapping[str, Verdict] = {
    "SIGSEGV": Verdict("crashed", signal="SIGSEGV"),
    "SIGABRT": Verdict("crashed", signal="SIGABRT"),
    "SIGKILL": Verdict("crashed", signal="SIGKILL"),
    "os._exit(0)": Verdict("exited", exit_code=0),
    "os._exit(137)": Verdict("exited", exit_code=137),
    "sys.exit(0)": raised("SystemExit"),
    "SystemExit": raised("SystemExit", "no more"),
    "KeyboardInterrupt": raised("KeyboardInterrupt"),
    "GeneratorExit": raised("GeneratorExit"),
}

# The function that is blamed, by the moment of the death.
MOMENTS: Mapping[str, str | None] = {
    "import": "model_fn",
    "model_fn": "model_fn",
    "unpickling": "model_fn",
    "call": "predict_fn",
    "describing": "predict_fn",
    "finalising": "predict_fn",
    "later call": "output_fn",
    "atexit": None,  # every verdict is in by then
}


def _death(name: str, moment: str) -> Fault:
    """Give the row of one cell of the matrix."""
    verdict, where = DEATHS[name], MOMENTS[moment]
    log: Mapping[str, tuple[str, ...]] = {}
    if moment == "import":
        outcome = "not_started" if verdict.failure else verdict.outcome
        verdict = Verdict(
            outcome, "import", verdict.signal, verdict.exit_code, verdict.failure, verdict.message
        )
    if moment == "finalising" and verdict.failure:
        # Python prints what __del__ raises and goes on.
        where, log = None, predict_log("Exception ignored", verdict.failure)
    if moment == "describing" and verdict.failure:
        where = None  # the tester asked, not the server: an answer that raises is no answer
    if moment == "later call" and verdict.failure:
        where = None  # it ends its own thread only
    environ = {"DEATH": name, "MOMENT": moment}
    if where is None:
        verdict = Verdict("passed")
    return Fault("C", "deaths", where, verdict, environ=environ, log=log)


MATRIX = tuple(_death(name, moment) for moment in MOMENTS for name in DEATHS)

BOMB: Mapping[str, Any] = {"max_processes": 100, "timeout_seconds": 60}

TREE = (
    Fault("16", "leaves_child", warns=("1 processes that the handler left were ended",)),
    Fault("17", "leaves_daemon", warns=("1 processes that the handler left were ended",)),
    Fault("19", "fork_bomb", "predict_fn", Verdict("processes_exceeded"), limits=BOMB),
    Fault("20", "comet"),
    Fault("21", "own_process_group", warns=("1 processes that the handler left were ended",)),
    Fault(
        "22",
        "kills_supervisor",
        "predict_fn",
        Verdict("crashed", signal="SIGKILL", message="supervisor was killed, maybe by the handler"),
        warns=("the supervisor was killed, .*; 2 processes were ended after it",),
        by_layer={
            "landlock:6": {
                "where": None,
                "log": predict_log("the kernel refused it"),
                "warns": ("1 processes that the handler left were ended",),
            },
            "bwrap": {
                "where": None,
                "log": predict_log("the supervisor is immune"),
                "warns": ("1 processes that the handler left were ended",),
            },
        },
        note="without a layer that prevents it, the second net finds what is left",
    ),
    Fault(
        "22",
        "stops_supervisor",
        "predict_fn",
        Verdict("timed_out"),
        limits=HANG,
        by_layer={"landlock:6": {"log": predict_log("the kernel refused it")}},
    ),
    Fault(
        "22",
        "kills_everyone",
        log=predict_log("the child ended with -9"),
        only=("bwrap", "max"),
        note="never outside of a sandbox: it would end everything on the machine",
    ),
    Fault(
        "25",
        "stops_children",
        warns=("2 processes that the handler left were ended",),
        note="a frozen cgroup of its own is nothing that a handler can have; this is like it",
    ),
    Fault("18", "holds_log_open", note="the end of the log is not waited for"),
    Fault("23", "forked_copy_returns"),
    *(
        Fault("24", "uses_multiprocessing", environ={"METHOD": method})
        for method in ("fork", "forkserver", "spawn")
    ),
)

NO_SPACE = Verdict("disk_exceeded", failure="OSError", message="No space left on device")

MEMORY = (
    Fault("28", "memory_grows", "predict_fn", Verdict("memory_exceeded"), limits=SMALL),
    Fault("29", "memory_at_once", "predict_fn", Verdict("memory_exceeded"), limits=SMALL),
    Fault("30", "memory_populated", "predict_fn", Verdict("memory_exceeded"), limits=SMALL),
    Fault(
        "31",
        "memory_split",
        "predict_fn",
        Verdict("memory_exceeded"),
        limits=SMALL,
        note="no process of the tree is over the limit",
    ),
    Fault("32", "forks_share", limits={"memory_limit_mb": 1024}, note="shared pages count once"),
    *(
        Fault(
            "33",
            "maps_large_file",
            environ={"KIND": kind, "SIZE_MIB": "2048" if LONG else "512"},
            limits=SMALL,
            note="page cache can be dropped, and is no reason to end anything",
        )
        for kind in ("sparse", "written")
    ),
    Fault(
        "34",
        "fills_a_file",
        environ={"PLACE": "/dev/shm"},
        limits=SMALL,
        log=predict_log("600 MiB written"),
        by_layer={
            "cgroup": {"where": "predict_fn", "verdict": Verdict("memory_exceeded"), "log": {}},
            "bwrap": {"where": "predict_fn", "verdict": NO_SPACE, "log": {}},
        },
        note="files in memory are counted by a control group only; a sandbox bounds their size",
    ),
    Fault(
        "34",
        "fills_a_file",
        environ={"PLACE": "TMPDIR"},
        limits=SMALL,
        log=predict_log("600 MiB written"),
        note="on a disk: it is not memory",
    ),
    Fault(
        "35",
        "memory_spike",
        peak_mib=(("predict_fn", 200, 300), ("output_fn", 1, 150)),
        note="the peak is that of the call",
    ),
    Fault("36", "catches_memory_error", limits=SMALL),
    Fault(
        "37",
        "killed_by_another",
        "predict_fn",
        Verdict("crashed", signal="SIGKILL"),
        limits=SMALL,
        note="a SIGKILL without evidence of memory is not memory_exceeded",
    ),
    Fault(
        "38",
        "child_takes_memory",
        "predict_fn",
        Verdict("memory_exceeded"),
        limits=SMALL,
        note="the kernel ends the child alone, most times, and the worker answers",
    ),
    Fault("39", "imports_numpy", limits={"memory_limit_mb": 1000}),
    Fault("39", "imports_numpy"),
)

OUTPUT = (
    Fault(
        "40",
        "writes_everywhere",
        log=predict_log(
            "by print",
            "by os.write 1",
            "by os.write 2",
            "by puts",
            "by a subprocess",
            "by os.system",
            "by sys.__stdout__",
            "by logging",
            "by warnings",
        ),
    ),
    Fault("41", "text_without_newline", log=predict_log("half a line and {half a message")),
    Fault("42", "forges_on_stdout", log=predict_log('{"answer": 42}', '"preview": "forged"')),
    Fault("42", "forges_a_reply", "predict_fn", Verdict("protocol_violated")),
    Fault(
        "42",
        "answers_twice",
        "predict_fn",
        Verdict("protocol_violated"),
        note="one forged reply cannot be told from a true one; a second one can",
    ),
    Fault("43", "closes_descriptors", environ={"FIRST": "1", "LAST": "2"}),
    Fault("43", "closes_descriptors", environ={"FIRST": "3", "LAST": "100"}),
    Fault(
        "43",
        "closes_descriptors",
        "predict_fn",
        Verdict("protocol_violated"),
        environ={"FIRST": "3", "LAST": "4096"},
        note="the worker's channel is gone with them",
    ),
    *(
        Fault("43", "replaces_stdout", environ={"WITH": stream}, log=predict_log("to the log"))
        for stream in ("None", "StringIO")
    ),
    Fault("44", "reads_stdin", "predict_fn", raised("EOFError")),
    Fault(
        "45",
        "floods_stderr",
        "predict_fn",
        Verdict("output_exceeded"),
        limits={"max_output_bytes": 1_000_000},
    ),
    Fault(
        "46",
        "endless_reply",
        "predict_fn",
        Verdict("output_exceeded"),
        limits={"max_response_bytes": 1_000_000},
    ),
    Fault("47", "huge_response", "output_fn", Verdict("output_exceeded")),
    Fault("48", "writes_before_reply", log=predict_log("xxx end")),
)

FILES = (
    Fault("50", "disk_full", "predict_fn", NO_SPACE),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        Verdict("disk_exceeded", failure="OSError", message="File too large"),
        environ={"BY": "python"},
        limits={"max_file_bytes": 2**20},
    ),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        Verdict("disk_exceeded", failure="CalledProcessError", message="SIGXFSZ"),
        environ={"BY": "child"},
        limits={"max_file_bytes": 2**20},
    ),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        Verdict("disk_exceeded", failure="CalledProcessError", message="153"),
        environ={"BY": "shell"},
        limits={"max_file_bytes": 2**20},
    ),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        raised("CalledProcessError", "153"),
        environ={"BY": "liar"},
        note="without a limit the exit status 153 is one like every other",
    ),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        raised("RuntimeError", "SIGXFSZ"),
        environ={"BY": "wrapped"},
        limits={"max_file_bytes": 2**20},
        note="what the handler makes of its child's end is the handler's",
    ),
    Fault(
        "51",
        "writes_large_file",
        "predict_fn",
        Verdict("disk_exceeded", signal="SIGXFSZ"),
        environ={"BY": "unguarded"},
        limits={"max_file_bytes": 2**20},
    ),
    Fault("52", "deletes_cwd"),
    Fault("53", "changes_directory"),
    Fault("54", "dumps_core"),
    Fault("55", "leaves_files", environ={"COUNT": "100000" if LONG else "20000"}, costly=True),
    Fault("56", "locks_directories"),
    Fault("58", "lists_descriptors"),
    *(
        Fault(
            "59",
            "other_locale",
            environ={"LC_ALL": name, "EXPECTED": "utf-8"},
            log=predict_log("Grüße ✓\nGrüße ✓"),
        )
        for name in ("C", "POSIX")
    ),
    Fault(
        "59",
        "other_locale",
        environ={
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "EXPECTED": "ascii",
        },
        log=predict_log(r"Gr\xfc\xdfe \u2713"),
        note="a Python that is told to speak ASCII only",
    ),
)

FAULTS = START + TIME + MATRIX + TREE + MEMORY + OUTPUT + FILES


@dataclass(frozen=True)
class Elsewhere:
    """A case that a row cannot say: the test of this directory that says it."""

    case: str
    test: str
    file: str | None = None


ELSEWHERE = (
    Elsewhere("1", "test_missing_interpreter_raises"),
    Elsewhere("4", "test_printing_sitecustomize_does_not_reach_the_wire", "sitecustomize_prints"),
    Elsewhere("14", "test_call_after_a_timeout_gets_its_own_answer", "late_answer"),
    Elsewhere("15", "test_answer_at_the_deadline_is_one_or_the_other", "answers_at_the_deadline"),
    Elsewhere("26", "test_nothing_survives_a_killed_tester", "killed_with_its_tester"),
    Elsewhere("27", "test_worker_outlives_the_thread_that_started_it"),
    *(
        Elsewhere(case, "test_innocent_is_never_ended", file)
        for case, file in (("32", None), ("33", None), ("39", "imports_packages"))
    ),
    Elsewhere("49", "test_late_output_is_not_credited_to_the_next_call", "late_output"),
    Elsewhere("57", "test_tester_environment_is_not_visible", "sees_tester_environment"),
    Elsewhere("60", "test_paths_with_spaces"),
    Elsewhere("61", "test_all_faults_in_parallel_get_the_same_verdicts"),
    Elsewhere("N", "test_attempts_are_told_and_what_is_denied_stays_inside", "reaches_out"),
    Elsewhere("N", "test_installing_at_import_is_diagnosed", "installs_at_import"),
    Elsewhere("N", "test_loopback_needs_a_network_namespace", "loopback_of_its_own"),
    Elsewhere(
        "19", "test_bomb_of_processes_and_memory_ends_at_one_of_them", "fork_bomb_with_memory"
    ),
)
