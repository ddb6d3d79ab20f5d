"""`handlerproof batch` as a user meets it, on a terminal, in CI and in a file."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jsonschema
import psutil
import pytest
from junitparser import JUnitXml

from harness.batch_results import BatchResult
from harness.cli.batch import EXAMPLES
from harness.reports.json_schema import KINDS
from tests.handlers import collection
from tests.integration.test_cli import COMMAND, environ, handlerproof
from tests.waiting import wait_until

CRASH = "os.kill(os.getpid(), 11)"
FORGED = "print('::error::forged \\x1b[31m <b>')"
START_S = 60


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    return collection.write(
        tmp_path, {"churn": FORGED, "fraud": CRASH, "price": "raise KeyError(1)"}
    )


def batch(
    folder: Path, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return handlerproof("batch", *arguments, cwd=folder.parent, **variables)


def test_batch_reports_in_every_form(handlers: Path) -> None:
    folder = handlers.parent
    files = ["--output", "b.json", "--junit", "j.xml", "--html", "r.html", "--markdown", "m.md"]
    done = batch(handlers, "handlers", *files, "--annotations")
    assert done.returncode == 1, done.stderr
    assert "1 passed, 1 failed, 1 error" in done.stdout
    assert "::error title=fraud%3A error::" in done.stdout
    assert "forged" not in done.stdout
    assert re.search(r"\[3/3\] \w+", done.stderr)
    result = BatchResult.load(folder / "b.json")
    assert [entry.status.value for entry in result.entries] == ["passed", "error", "failed"]
    suites = list(JUnitXml.fromfile(str(folder / "j.xml")))
    assert [suite.name for suite in suites] == ["churn", "fraud", "price"]
    assert (folder / "r.html").read_text().startswith("<!doctype html>")
    assert (folder / "m.md").read_text().startswith("## handlerproof: 1 passed, 1 failed, 1 error")
    assert not list(folder.glob(".*[0-9]")), "no half written file is left"


def test_command_that_reproduces_a_failure_does(handlers: Path) -> None:
    done = batch(handlers, "handlers", "--timeout", "30", "--output", "b.json")
    result = BatchResult.load(handlers.parent / "b.json")
    command = result.entries[1].reproduce
    assert command == "handlerproof batch handlers --timeout 30 --handler fraud"
    assert f"again: {command}" in done.stdout
    again = batch(handlers, *command.split()[2:], "--format", "json")
    (entry,) = BatchResult.model_validate_json(again.stdout).entries
    assert (again.returncode, entry.name, entry.status) == (1, "fraud", "error")


def test_json_is_what_its_schema_says(handlers: Path) -> None:
    done = batch(handlers, "handlers", "--format", "json")
    schema = json.loads(handlerproof("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(done.stdout), schema)
    broken = json.loads(done.stdout)
    del broken["entries"][0]["result"]["handler_name"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_of_every_kind(kind: str) -> None:
    schema = json.loads(handlerproof("schema", kind).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == KINDS[kind].__name__


def test_events_as_they_happen(handlers: Path) -> None:
    done = batch(handlers, "handlers", "--format", "ndjson", "--jobs", "1")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names == ["planned", *["started", "finished"] * 3, "ended"]
    assert events[0]["total"] == 3
    assert {e["handler"]: e["status"] for e in events if e["event"] == "finished"} == {
        "churn": "passed",
        "fraud": "error",
        "price": "failed",
    }
    assert events[-1]["counts"] == {"passed": 1, "flaky": 0, "failed": 1, "error": 1}


def test_last_failed_runs_those_only(handlers: Path) -> None:
    batch(handlers, "handlers")
    done = batch(handlers, "handlers", "--last-failed", "--format", "json")
    names = [entry.name for entry in BatchResult.model_validate_json(done.stdout).entries]
    assert names == ["fraud", "price"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-k", "churn or price"], ["churn", "price"]),
        (["--handler", "price"], ["price"]),
        (["--shard", "1/2"], ["churn", "price"]),
        (["--shard", "2/2"], ["fraud"]),
    ],
)
def test_selection(handlers: Path, words: list[str], names: list[str]) -> None:
    done = batch(handlers, "handlers", *words, "--show-config", COLUMNS="200")
    assert re.findall(r"^(\w+)$", done.stdout.replace(" ", ""), re.M) == names
    assert not (handlers.parent / ".handlerproof").exists(), "nothing was run"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["handlers", "-k", "nothing"], 5, "the selection leaves no handler to test"),
        (["handlers", "--last-failed"], 5, "the selection leaves no handler to test"),
        (["none"], 2, "there is no file or directory at none"),
        (["handlers", "handlers/churn"], 2, "the handler at handlers/churn is given twice"),
        (["handlers/churn", "./handlers/churn"], 2, "handlers/churn is given twice"),
        (["handlers", "--handler", "chrun"], 2, "'chrun'; did you mean 'churn'?"),
        (["handlers", "--handler", "wine"], 2, "no handler 'wine'; there are churn, fraud, price"),
        (["handlers", "--shard", "3/2"], 2, "write NUMBER/COUNT"),
        (["handlers", "-k", "and"], 2, "write words with and, or, not"),
        (["handlers", "--junit", "none/j.xml"], 2, "--junit: there is no directory none"),
        (["handlers", "--baseline", "none.json"], 2, "Cannot read the result none.json"),
        (["handlers", "--max-prediction-time", "-1"], 2, "max_prediction_time"),
        (["handlers", "--jobs", "0"], 2, "--jobs"),
        (["handlers", "--state", "/proc/x"], 2, "/proc/x/journal.ndjson cannot be opened"),
    ],
)
def test_bad_input_is_a_clear_error(
    handlers: Path, words: list[str], code: int, message: str
) -> None:
    done = batch(handlers, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr


def test_history_that_cannot_be_read_is_told_where_it_is_asked(handlers: Path) -> None:
    file = handlers.parent / ".handlerproof" / "history.json"
    file.parent.mkdir()
    file.write_text('{"handlers": ')
    done = batch(handlers, "handlers", "--last-failed")
    assert done.returncode == 2, done.stderr
    assert ".handlerproof/history.json cannot be read: it is no history of a batch" in done.stderr
    assert batch(handlers, "handlers/churn").returncode == 0, "planning does without"
    assert json.loads(file.read_text())["handlers"]["churn"]["status"] == "passed"


def test_typing_error_in_the_project_file(handlers: Path) -> None:
    (handlers.parent / "pyproject.toml").write_text("[tool.handlerproof]\ntimeout = 1\n")
    done = batch(handlers, "handlers")
    assert done.returncode == 2
    assert "did you mean 'timeout_seconds'" in done.stderr


def test_typing_error_in_a_variable_is_a_warning(handlers: Path) -> None:
    variables = {"HANDLERPROOF_TIMOUT": "3", "HANDLERPROOF_LONG": "1"}
    done = batch(handlers, "handlers/churn", "--show-config", **variables)
    assert done.returncode == 0
    assert done.stderr == (
        "handlerproof: warning: HANDLERPROOF_TIMOUT is no setting, and is ignored; "
        "did you mean HANDLERPROOF_TIMEOUT?\n"
    )


def test_precedence_and_its_sources(handlers: Path) -> None:
    """Each place sets one more than the one that wins over it."""
    folder = handlers.parent
    (folder / "pyproject.toml").write_text(
        "[tool.handlerproof]\ntimeout_seconds = 1.0\nisolation = 'auto'\nnetwork = true\n"
        "[tool.handlerproof.limits]\nmemory_limit_mb = 111\nmax_processes = 99\n"
    )
    (handlers / "churn" / "churn.handler.toml").write_text(
        "timeout_seconds = 2.0\nisolation = 'process'\n[limits]\nmemory_limit_mb = 222\n"
    )
    words = ["handlers/churn", "--memory", "444M", "--show-config"]
    done = batch(handlers, *words, HANDLERPROOF_TIMEOUT="3", COLUMNS="250")
    told = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│┃").split("│")]) == 3
    }
    assert told["limits.memory_limit_mb"] == ["444", "command line"]
    assert told["timeout_seconds"] == ["3.0", "HANDLERPROOF_TIMEOUT"]
    assert told["isolation"] == ['"process"', "handlers/churn/churn.handler.toml"]
    assert told["network"][0] == "true"
    assert told["network"][1].endswith("pyproject.toml")
    assert told["stack"] == ['"toolkit"', "default"]


def test_settings_are_shown_whole_where_no_terminal_is_narrow(handlers: Path) -> None:
    name = "A_VARIABLE_" * 12
    (handlers / "churn" / "churn.handler.toml").write_text(f'[environ_vars]\n{name} = "1"\n')
    done = batch(handlers, handlers / "churn", "--show-config", COLUMNS="80")
    (line,) = [line for line in done.stdout.splitlines() if "environ_vars" in line]
    assert f" environ_vars.{name} " in line
    assert f" {handlers / 'churn' / 'churn.handler.toml'} " in line


def test_options_beat_a_handlers_own_limits(handlers: Path) -> None:
    (handlers / "churn" / "churn.handler.toml").write_text("[limits]\ntimeout_seconds = 500.0\n")
    (handlers / "churn" / "code" / "inference.py").write_text(collection.handler("time.sleep(600)"))
    done = batch(handlers, "handlers/churn", "--timeout", "2")
    assert done.returncode == 1
    assert "deadline" in done.stdout or "timed out" in done.stdout, done.stdout


# ---------------------------------------------------------------- interrupted, killed, full


@contextmanager
def running(handlers: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [*COMMAND, "batch", "handlers", *arguments]
    with subprocess.Popen(
        words, cwd=handlers.parent, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def finished(folder: Path) -> int:
    with suppress(OSError):
        return max(0, (folder / ".handlerproof" / "journal.ndjson").read_bytes().count(b"\n") - 1)
    return 0


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("press", [os.kill, os.killpg])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_exits_with_its_number_and_writes_the_reports(
    tmp_path: Path, number: signal.Signals, press: Callable[[int, int], None], jobs: int
) -> None:
    handlers = collection.write(tmp_path, {"a": "pass", "b": "time.sleep(600)"})
    with running(handlers, "--jobs", str(jobs), "--junit", "j.xml", "--format", "json") as process:
        assert process.stderr is not None
        assert any(line.startswith(b"[1/2] a passed") for line in process.stderr), "it is told"
        assert wait_until(lambda: workers(process.pid), START_S)
        left = psutil.Process(process.pid).children(recursive=True)
        press(process.pid, number)
        output, complaints = process.communicate(timeout=START_S)
    assert process.returncode == 128 + number
    assert b"Traceback" not in complaints
    result = BatchResult.model_validate_json(output)
    assert result.interrupted
    assert [entry.name for entry in result.entries] == ["a"]
    assert [suite.name for suite in JUnitXml.fromfile(str(tmp_path / "j.xml"))] == ["a", "b"]
    assert wait_until(lambda: not any(child.is_running() for child in left), START_S)


def workers(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_full_disk_is_told_and_what_was_finished_is_kept(handlers: Path) -> None:
    """A disk that takes the journal, and not the report, which is larger."""
    folder = handlers.parent
    batch(handlers, "handlers", "--output", "b.json")
    report = folder / "b.json"
    sizes = [path.stat().st_size for path in (folder / ".handlerproof/journal.ndjson", report)]
    assert sizes[0] < sizes[1] * 0.9
    report.unlink()

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (sum(sizes) // 2, sum(sizes) // 2))

    words = [*COMMAND, "batch", "handlers", "--output", "b.json", "--markdown", "m.md"]
    done = subprocess.run(
        words, cwd=folder, env=environ(), capture_output=True, text=True, preexec_fn=small_disk,
        check=False,
    )  # fmt: skip
    assert finished(folder) == 3, done.stderr
    assert done.returncode == 3, done.stderr
    assert "--output: b.json cannot be written: File too large" in done.stderr
    assert "--resume writes the reports" in done.stderr
    assert not report.exists()
    assert (folder / "m.md").exists(), "one that fails does not keep the others from being written"
    again = batch(handlers, "handlers", "--resume", "--output", "b.json")
    assert again.returncode == 1
    assert len(BatchResult.load(report).entries) == 3


# ---------------------------------------------------------------- what is shown meanwhile


def test_live_table_on_a_terminal(handlers: Path) -> None:
    master, terminal = pty.openpty()
    words = [*COMMAND, "batch", "handlers", "--jobs", "1"]
    with subprocess.Popen(
        words, cwd=handlers.parent, env=environ(TERM="xterm"), stdout=subprocess.DEVNULL,
        stderr=terminal,
    ) as process:  # fmt: skip
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # Linux tells of the end of a terminal so
            while piece := os.read(master, 65536):
                shown += piece
        os.close(master)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert process.returncode == 1
    assert "memory promised" in text
    assert re.search(r"[12] of 3 done, \d failed, 1 running, .* in use, about .* left", text)
    assert re.search(r"fraud error", text)


def test_silence_in_ci_is_broken(tmp_path: Path) -> None:
    from rich.console import Console

    from harness.cli import batch_progress

    console = Console(file=(tmp_path / "log").open("w"), width=200)
    told = batch_progress.Lines(console)
    told.planned(2, 1)
    told.started("churn", 2**29)
    told.waiting()
    told.shown_at -= batch_progress.HEARTBEAT_S
    told.waiting()
    told.waiting()
    console.file.close()
    text = (tmp_path / "log").read_text()
    assert re.fullmatch(r"0 of 2 done, 0 failed, 1 running, [\d.]+ \w+ in use: churn\n", text)


def test_help_has_examples_with_options_that_there_are() -> None:
    text = handlerproof("batch", "--help").stdout
    for option in re.findall(r"--[a-z-]+", EXAMPLES):
        assert f"{option}" in text


def test_project_settings_of_the_batch_are_used(handlers: Path) -> None:
    project = handlers.parent / "pyproject.toml"
    project.write_text(
        project.read_text() + "[tool.handlerproof.batch]\njobs = 1\nstate = 'kept'\n"
        "[tool.handlerproof.budgets]\nmax_prediction_time = 20.0\n"
    )
    assert tomllib.loads(project.read_text())
    done = batch(handlers, "handlers/churn", "--format", "json")
    result = BatchResult.model_validate_json(done.stdout)
    assert result.jobs == 1
    assert (handlers.parent / "kept" / "history.json").exists()
    assert [item.measure for item in result.entries[0].findings] == ["prediction_s"]
