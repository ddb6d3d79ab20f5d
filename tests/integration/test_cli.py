"""`handlerproof run` as a user meets it: a process with two streams and an exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from harness import InferenceTestResult
from harness.runtime.session import EXIT_GRACE_S
from tests.conftest import Files, MakePackage
from tests.handlers.good import packages
from tests.waiting import wait_until

COMMAND = [sys.executable, "-c", "from harness.cli import main; main()"]
ROOT = str(Path(__file__).parents[2])
HANDLER = """
import json, os

def model_fn(model_dir):
    return float(os.environ.get("FACTOR", "2"))

def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]

def predict_fn(data, model):
    return [model * cell for cell in data]

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def environ(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**own, "PYTHONPATH": ROOT, "COLUMNS": "160", **more}


def handlerproof(
    *arguments: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environ(**variables),
        cwd=cwd,
        timeout=60,
        check=False,
    )


@pytest.fixture
def model(package: MakePackage) -> Path:
    return package({"code/inference.py": HANDLER}, as_archive=True)


@pytest.fixture
def rows(payloads: Callable[[Files], Path]) -> Path:
    return payloads({"row.csv": "1,2"})


# ---------------------------------------------------------------- what it prints


def test_good_handler_exits_0_with_a_table(model: Path, rows: Path) -> None:
    done = handlerproof("run", model, "--payloads", rows, "--accept", "application/json")
    assert done.returncode == 0, done.stderr
    for function in ("model_fn", "input_fn", "predict_fn", "output_fn", "end to end"):
        assert function in done.stdout
    assert "1/1" in done.stdout
    assert "MiB" in done.stdout
    progress = done.stderr.splitlines()
    assert [line.split(" ")[0].rstrip(":") for line in progress] == [
        "model_fn",
        "input_fn",
        "predict_fn",
        "output_fn",
    ]


def test_failing_handler_exits_1_and_shows_the_handlers_own_line(
    package: MakePackage, rows: Path
) -> None:
    broken = HANDLER.replace("return [model * cell", "return [modle * cell")
    done = handlerproof("run", package({"code/inference.py": broken}), "--payloads", rows)
    assert done.returncode == 1
    assert "NameError: name 'modle' is not defined" in done.stdout
    assert "inference.py:" in done.stdout.replace(", line ", ":")
    assert "return [modle * cell for cell in data]" in done.stdout
    assert "Traceback" not in done.stderr


def test_hang_and_memory_are_verdicts_and_exit_1(package: MakePackage, rows: Path) -> None:
    for piece, options, said in (
        ("while True: pass", ["--timeout", "0.5"], "timed out"),
        ("return bytearray(2**30)", ["--memory", "300M"], "memory exceeded"),
    ):
        code = HANDLER.replace("    return [model * cell for cell in data]", f"    {piece}")
        folder = package({"code/inference.py": code})
        done = handlerproof("run", folder, "--payloads", rows, *options)
        assert done.returncode == 1, done.stderr
        assert said in done.stdout


def test_json_is_the_result_and_alone_on_standard_output(model: Path, rows: Path) -> None:
    done = handlerproof("run", model, "--payloads", rows, "--format", "json")
    assert done.returncode == 0, done.stderr
    result = InferenceTestResult.model_validate_json(done.stdout)
    assert result.overall_success
    assert result.handler_name == "model"
    assert done.stdout.lstrip().startswith("{")
    assert done.stdout.endswith("}\n")
    assert "predict_fn" in done.stderr, "the table for people"


def test_what_the_handler_prints_does_not_reach_our_streams(
    package: MakePackage, rows: Path
) -> None:
    noisy = HANDLER + "\nimport sys\nprint('NOISE')\nprint('NOISE', file=sys.stderr)\n"
    noisy += "os.system('echo NOISE; echo NOISE >&2')\n"
    folder = package({"code/inference.py": noisy})
    done = handlerproof("run", folder, "--payloads", rows, "--format", "json")
    assert done.returncode == 0
    assert "NOISE" not in done.stderr
    json.loads(done.stdout)


def test_output_is_the_result_as_a_file(model: Path, rows: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = handlerproof("run", model, "--payloads", rows, "--output", file)
    assert done.returncode == 0, done.stderr
    assert InferenceTestResult.load(file).overall_success
    assert "model_fn" in done.stdout


def test_control_characters_of_a_handler_do_not_reach_the_terminal(
    package: MakePackage, rows: Path
) -> None:
    evil = HANDLER.replace(
        "return [model *", "raise ValueError('\\x1b[2J\\x1b]0;title\\x07')\n    return [model *"
    )
    done = handlerproof("run", package({"code/inference.py": evil}), "--payloads", rows)
    assert done.returncode == 1
    assert "ValueError" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x07" not in done.stdout + done.stderr


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):
                os.close(end)


def on_a_terminal(*arguments: str | Path, **variables: str) -> str:
    with terminal() as (ours, theirs):
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ(TERM="xterm-256color", **variables),
        )
        os.close(theirs)
        text = b""
        with suppress(OSError):  # EIO: the other side is closed
            while data := os.read(ours, 65536):
                text += data
        assert process.wait(60) == 0, text
    return text.decode()


def test_terminal_has_colours_unless_no_color_is_set(model: Path, rows: Path) -> None:
    command = ("run", model, "--payloads", rows, "--accept", "application/json")
    assert "\x1b[32m" in on_a_terminal(*command)
    plain = on_a_terminal(*command, NO_COLOR="1")
    assert "predict_fn" in plain
    assert not [code for code in ("\x1b[31m", "\x1b[32m", "\x1b[33m") if code in plain]
    assert "\x1b" not in handlerproof(*command).stdout, "a pipe is no terminal"


# ---------------------------------------------------------------- what it is told


def test_options_reach_the_handler(model: Path, payloads: Callable[[Files], Path]) -> None:
    folder = payloads({"a.csv": "1", "b.json": "1"})
    done = handlerproof(
        *("run", model, "--payloads", folder, "--format", "json", "--env", "FACTOR=3"),
        *("--accept", "text/csv", "--accept", "application/json", "--content-type", "text/csv"),
        *("--timeout", "20", "--memory", "512M", "--python", sys.executable),
        *("--entry-point", "inference.py"),
    )
    assert done.returncode == 0, done.stderr
    result = InferenceTestResult.model_validate_json(done.stdout)
    asked = [(row.sample_name, row.accept_type) for row in result.end_to_end_results if row.success]
    assert [accept for _, accept in asked] == ["text/csv", "application/json"]
    assert json.loads(result.end_to_end_results[0].response.body or "") == [3.0]
    assert result.environment is not None
    assert result.environment.kind == "python"
    assert result.isolation is not None
    assert result.isolation.memory.enforcer != "none"


SPEC = {
    "handler_name": "from a file",
    "packaged_model_path": "model.tar.gz",
    "supported_accept_types": ["application/json"],
    "timeout_seconds": 20.0,
    "environ_vars": {"FACTOR": "5"},
    "test_data_samples": [
        {
            "sample_name": "row",
            "content_type": "text/csv",
            "request_body": "1",
            "expected_body": [5.0],
        }
    ],
}
TOML = """
handler_name = "from a file"
packaged_model_path = "model.tar.gz"
supported_accept_types = ["application/json"]
timeout_seconds = 20.0

[environ_vars]
FACTOR = "5"

[[test_data_samples]]
sample_name = "row"
content_type = "text/csv"
request_body = "1"
expected_body = [5.0]
"""


@pytest.mark.parametrize("name", ["spec.toml", "spec.json"])
def test_spec_from_a_file_with_paths_relative_to_it(name: str, model: Path, tmp_path: Path) -> None:
    file = model.parent / name
    file.write_text(TOML if name.endswith("toml") else json.dumps(SPEC))
    done = handlerproof("run", "--spec", file, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = InferenceTestResult.model_validate_json(done.stdout)
    assert result.handler_name == "from a file"
    overridden = handlerproof("run", "--spec", file, "--env", "FACTOR=6", cwd=tmp_path)
    assert overridden.returncode == 1, "the command line goes before the file"
    assert "5.0" in overridden.stdout


def test_help_has_examples_and_every_exit_code() -> None:
    done = handlerproof("run", "--help")
    assert done.returncode == 0
    assert "handlerproof run model.tar.gz --payloads payloads/" in done.stdout
    done = handlerproof("--help")
    for words in (
        "0 all passed",
        "1 a handler or a node failed",
        "2 usage",
        "3 ",
        "4 ",
        "5 ",
        "130 ",
    ):
        assert words in " ".join(done.stdout.split())


def test_console_entry_is_the_same_command() -> None:
    from importlib.metadata import entry_points

    import harness.cli

    found = [item for item in entry_points(group="console_scripts") if item.name == "handlerproof"]
    if not found:  # not installed: the source of the entry says it
        text = (Path(ROOT) / "pyproject.toml").read_text()
        assert 'handlerproof = "harness.cli:main"' in text
    else:
        assert found[0].load() is harness.cli.main


# ---------------------------------------------------------------- bad input

MODEL, ROWS = "MODEL", "ROWS"
WRONG: dict[str, tuple[list[str], str]] = {
    "no such package": (["not/there.tar.gz", "--payloads", ROWS], "not/there.tar.gz"),
    "no such payloads": ([MODEL, "--payloads", "not/there"], "not/there"),
    "no such spec": (["--spec", "not/there.toml"], "cannot read the spec not/there.toml"),
    "spec that is no TOML": (["--spec", "broken.toml"], "broken.toml is not TOML"),
    "spec that is no JSON": (["--spec", "broken.json"], "broken.json is not JSON"),
    "spec that is a list": (["--spec", "list.json"], "must be a table of fields"),
    "spec with a wrong limit": (["--spec", "limits.json"], "limits"),
    "spec with wrong variables": (["--spec", "variables.json", "--env", "A=1"], "environ_vars"),
    "spec with an unknown field": (["--spec", "unknown.json"], "did you mean 'handler_name'"),
    "unknown field, by its file": (["--spec", "unknown.json"], "unknown.json: "),
    "wrong option, file in order": (
        ["--spec", "good.json", "--timeout", "0"],
        "handlerproof: InferenceH",
    ),
    "manifest as a spec": (["--spec", "many.json"], "test them with: handlerproof batch many.json"),
    "nothing to test": ([], "give a PACKAGE or --spec FILE"),
    "package without a handler": (["empty", "--payloads", ROWS], "no module 'inference'"),
    "entry point that is not there": (
        [MODEL, "--payloads", ROWS, "--entry-point", "serve.py"],
        "entry_point 'serve.py' is not in",
    ),
    "package that is no archive": (["text.tar.gz", "--payloads", ROWS], "text.tar.gz"),
    "spec with wrong limits and one option more": (
        ["--spec", "limits.json", "--memory", "1G"],
        "limits must be a table",
    ),
    "payload that cannot be read": ([MODEL, "--payloads", "loop.csv"], "symbolic links"),
    "manifest that is broken": ([MODEL, "--payloads", "manifest"], "manifest"),
    "timeout of 0": ([MODEL, "--payloads", ROWS, "--timeout", "0"], "timeout_seconds"),
    "timeout of nan": ([MODEL, "--payloads", ROWS, "--timeout", "nan"], "timeout_seconds"),
    "timeout in words": ([MODEL, "--payloads", ROWS, "--timeout", "long"], "'long'"),
    "memory of lots": ([MODEL, "--payloads", ROWS, "--memory", "lots"], "'lots'"),
    "memory of 0": ([MODEL, "--payloads", ROWS, "--memory", "0"], "'0' is out of range"),
    "variable without a value": ([MODEL, "--payloads", ROWS, "--env", "A"], "--env A"),
    "variable without a name": ([MODEL, "--payloads", ROWS, "--env", "=1"], "variable"),
    "accept type twice": (
        [MODEL, "--payloads", ROWS, "--accept", "a/b", "--accept", "a/b"],
        "'a/b' is there more than once",
    ),
    "format that is none": ([MODEL, "--payloads", ROWS, "--format", "xml"], "'xml'"),
    "unknown option": ([MODEL, "--payload", ROWS], "--payload"),
    "output in no directory": (
        [MODEL, "--payloads", ROWS, "--output", "no/dir/r.json"],
        "there is no directory no/dir",
    ),
    "output that is a directory": ([MODEL, "--payloads", ROWS, "--output", "empty"], "--output"),
}


@pytest.fixture
def bad_inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    for name in ("empty", "manifest"):
        (folder / name).mkdir(parents=True)
    files = {
        "empty/weights.bin": "",
        "text.tar.gz": "no archive",
        "manifest/manifest.json": "{",
        "manifest/a.csv": "1",
        "broken.toml": "handler_name = ",
        "broken.json": "{",
        "list.json": "[]",
        "unknown.json": '{"handler_nam": "a", "packaged_model_path": "empty"}',
        "good.json": '{"handler_name": "a", "packaged_model_path": "empty"}',
        "many.json": '{"handlers": ["a", "b"]}',
        "limits.json": '{"handler_name": "a", "packaged_model_path": "empty", "limits": 7}',
        "variables.json": '{"handler_name": "a", "packaged_model_path": "b", "environ_vars": 7}',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "loop.csv").symlink_to("loop.csv")  # what not even root can read
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_sentence_and_exit_2(
    name: str, model: Path, rows: Path, bad_inputs: Path
) -> None:
    arguments, said = WRONG[name]
    places = {MODEL: str(model), ROWS: str(rows)}
    before = sorted(Path(tempfile.gettempdir()).iterdir())
    files = sorted(bad_inputs.rglob("*"))
    done = handlerproof("run", *(places.get(item, item) for item in arguments), cwd=bad_inputs)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if not line.startswith(USAGE)]
    assert len([line for line in sentences if line.strip()]) == 1, done.stderr
    assert sorted(Path(tempfile.gettempdir()).iterdir()) == before
    assert sorted(bad_inputs.rglob("*")) == files


USAGE = ("Usage:", "Try '")  # click's own two lines before its sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_payload_that_cannot_be_read_is_exit_2(model: Path, rows: Path) -> None:
    (rows / "row.csv").chmod(0)
    done = handlerproof("run", model, "--payloads", rows)
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_interpreter_that_is_not_there_is_exit_4(model: Path, rows: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    done = handlerproof("run", model, "--payloads", rows, "--python", python)
    assert (done.returncode, done.stdout) == (4, "")
    assert str(python) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = handlerproof("run", model, "--payloads", rows, "--python", python)
    assert (done.returncode, done.stdout) == (4, "")
    assert "did not start" in done.stderr


def test_no_samples_is_no_pass(model: Path, payloads: Callable[[Files], Path]) -> None:
    done = handlerproof("run", model, "--payloads", payloads({}))
    assert done.returncode == 1
    assert "no samples were found" in done.stdout
    assert handlerproof("run", model).returncode == 1
    one = payloads({"row.csv": "1,2"})
    done = handlerproof("run", model, "--payloads", one, "--content-type", "text/plain")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert f"no samples are left at {one}: 1 sample was found (text/csv), none of type" in told


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("import", signal.SIGINT),
        ("call", signal.SIGINT),
        ("call", signal.SIGTERM),
        ("call", signal.SIGHUP),
    ],
)
def test_interrupt_ends_everything_and_exits_with_its_number(
    phase: str, number: signal.Signals, package: MakePackage, rows: Path, tmp_path: Path
) -> None:
    hang = "import os, signal, subprocess, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    hang += "subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n"
    hang += "open('running', 'w').close()\nwhile True: pass\n"
    code = HANDLER.replace("import json, os\n", hang if phase == "import" else "import json, os\n")
    indented = "".join(f"    {line}\n" for line in hang.splitlines())
    if phase == "call":
        code = code.replace("    return [model * cell for cell in data]\n", indented)
    folder, temporary = package({"code/inference.py": code}), tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [*COMMAND, "run", str(folder), "--payloads", str(rows)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(TMPDIR=str(temporary)),
        start_new_session=True,  # as the shell does: the signal goes to the process group
    ) as process:
        try:
            assert wait_until(lambda: any(temporary.rglob("running")), 20)
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 3, "a supervisor, a worker, and what the handler started"
            interrupted = time.monotonic()
            os.killpg(process.pid, number)
            stdout, stderr = process.communicate(timeout=20)
            took = time.monotonic() - interrupted
        finally:
            process.kill()
    assert process.returncode == 128 + number, stderr
    assert took < EXIT_GRACE_S, "a worker in the middle of a call is not asked to leave"
    assert stdout == ""
    assert stderr.splitlines()[-1] == "handlerproof: interrupted"
    assert "Traceback" not in stderr
    assert wait_until(lambda: not any(member.is_running() for member in family))
    assert list(temporary.iterdir()) == []


def test_signal_that_is_ignored_stays_ignored(
    package: MakePackage, rows: Path, tmp_path: Path
) -> None:
    """As with nohup."""
    wait = f"open({str(tmp_path / 'here')!r}, 'w').close()\n    "
    wait += f"while not os.path.exists({str(tmp_path / 'go')!r}): pass\n    return"
    folder = package({"code/inference.py": HANDLER.replace("return [model", f"{wait} [model")})
    words = ["run", str(folder), "--payloads", str(rows), "--isolation", "process"]
    with subprocess.Popen(
        [*COMMAND, *words, "--accept", "application/json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:
        try:
            assert wait_until((tmp_path / "here").exists, 20)
            process.send_signal(signal.SIGHUP)
            (tmp_path / "go").touch()
            _, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, stderr


def test_reader_that_goes_away_is_no_traceback(model: Path, rows: Path) -> None:
    """As with `handlerproof run ... | head -1`."""
    process = subprocess.Popen(
        [*COMMAND, "run", str(model), "--payloads", str(rows), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    process.wait(20)
    assert "Traceback" not in said
    assert "please report" not in said


def test_good_package_of_the_seed_passes_by_the_command(
    package: MakePackage, payloads: Callable[[Files], Path]
) -> None:
    folder = payloads({"csv_samples/a.csv": "1,2\n", "json_samples/b.json": '{"rows": [[1, 2]]}'})
    archive = package(packages.files("plain"), as_archive=True)
    done = handlerproof("run", archive, "--payloads", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4/4" in done.stdout
