"""Every fault gets its exact verdict, and nothing of it is left: the rows are in faults.py."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from harness import HandlerEnvironmentError, Limits, RuntimeTester
from tests.adversarial import levels
from tests.adversarial.conftest import RunAt
from tests.adversarial.faults import ANSWER, DEATHS, REQUEST, Fault
from tests.adversarial.levels import Level
from tests.adversarial.running import (
    check,
    check_leftovers,
    files,
    first_rows,
    log_of,
    run,
    sample,
    spec_for,
    spec_of,
)
from tests.conftest import MakePackage
from tests.waiting import wait_until

# ---------------------------------------------------------------- the rows


@pytest.mark.parametrize(("level", "fault"), levels.rows())
def test_fault_gets_its_verdict(
    level: Level, fault: Fault, package: MakePackage, run_at: RunAt
) -> None:
    spec = spec_of(fault, package)
    before = contents(Path(str(spec.packaged_model_path)))
    check(fault, run_at(level, spec))
    assert contents(Path(str(spec.packaged_model_path))) == before, "the caller's files changed"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_faults_in_parallel_get_the_same_verdicts(package: MakePackage) -> None:
    """Eight at a time, whatever their neighbours do. Time is what they take from each other."""
    chosen = levels.faults_under(levels.BESIDE_OTHERS)
    specs = [spec_of(fault, package, patience=4) for fault in chosen]
    with ThreadPoolExecutor(8) as pool:
        for fault, result in zip(chosen, pool.map(run, specs), strict=True):
            check(fault, result)


# ---------------------------------------------------------------- cases that are more than a row


@pytest.mark.parametrize("death", [name for name, end in DEATHS.items() if not end.failure])
def test_death_between_calls_is_not_blamed_on_the_next(
    death: str, package: MakePackage, tmp_path: Path
) -> None:
    environ = {"DEATH": death, "MOMENT": "between calls", "GO": str(tmp_path / "go")}
    # Fresh, so that the worker can be told from what a template forks ahead.
    spec = spec_for(package(files("deaths")), environ_vars=environ, start="fresh")
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        for _ in range(2):  # the second time on a new worker
            assert handler.model_fn().success
            assert handler.input_fn(REQUEST, "text/csv").success
            assert handler.predict_fn().success
            supervisor = worker_of_this_process().parent()
            (tmp_path / "go").touch()
            assert wait_until(lambda: has_ended(supervisor), 10)  # noqa: B023
            formatted = handler.output_fn(accept="application/json")
            assert (formatted.outcome, formatted.signal) == ("skipped", None)
            assert formatted.skip_reason
            (tmp_path / "go").unlink()


def worker_of_this_process() -> psutil.Process:
    below = psutil.Process().children(recursive=True)
    (worker,) = [process for process in below if process.cmdline()[-1:] == ["serve"]]
    return worker


def has_ended(process: psutil.Process | None) -> bool:
    try:
        return process is None or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_missing_interpreter_raises(package: MakePackage) -> None:
    spec = spec_for(package(files("sleeps")), environment={"python": "/nonexistent/python"})
    with pytest.raises(HandlerEnvironmentError, match="/nonexistent/python"):
        run(spec)


def test_printing_sitecustomize_does_not_reach_the_wire(
    package: MakePackage, tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    (packages,) = tmp_path.glob("env/lib/python*/site-packages")
    count = 'import builtins\nRAN = builtins.ran = getattr(builtins, "ran", 0) + 1\n'
    noise = 'import os\nprint(\'{"type": "ready"}\')\nos.write(1, b"sitecustomize ran\\n")\n'
    (packages / "sitecustomize.py").write_text(count + noise)
    python = str(tmp_path / "env" / "bin" / "python")
    result = run(spec_for(package(files("sitecustomize_prints")), environment={"python": python}))
    assert result.overall_success, result.errors
    assert "sitecustomize ran" in log_of(result.model_fn_result)


def test_call_after_a_timeout_gets_its_own_answer(package: MakePackage) -> None:
    """The late answer of the call that was ended must not be taken for that of the next."""
    result = run(
        spec_for(
            package(files("late_answer")),
            test_data_samples=[sample("a-hangs", b"13,0\n"), sample("b-good")],
            limits=Limits(timeout_seconds=1),
        )
    )
    assert [row.outcome for row in result.predict_fn_results] == ["timed_out", "passed"]
    hung, good = result.end_to_end_results
    assert (hung.success, hung.response.status) == (False, 500)
    assert "Worker died." in (hung.response.body or "")
    assert (good.success, good.response.body) == (True, ANSWER)


@pytest.mark.long
def test_answer_at_the_deadline_is_one_or_the_other(
    package: MakePackage, long_count: Callable[[int], int]
) -> None:
    limit, count = 0.5, long_count(60)
    near = [limit - 0.01 + 0.02 * number / count for number in range(count)]
    delays = [0.0, *near, 30.0]
    result = run(
        spec_for(
            package(files("answers_at_the_deadline")),
            test_data_samples=[
                sample(f"{number:02}", f"{delay},0\n".encode())
                for number, delay in enumerate(delays)
            ],
            limits=Limits(timeout_seconds=limit, startup_timeout_seconds=60),
        )
    )
    for delay, predicted, formatted, end in zip(
        delays,
        result.predict_fn_results,
        result.output_fn_results,
        result.end_to_end_results,
        strict=True,
    ):
        if predicted.success:
            assert (formatted.outcome, end.response.body) == ("passed", str(2.0 * delay))
        else:
            assert (predicted.outcome, formatted.outcome) == ("timed_out", "skipped")
            assert "Worker died." in (end.response.body or "")
    ends = (result.predict_fn_results[0].outcome, result.predict_fn_results[-1].outcome)
    assert ends == ("passed", "timed_out")


def test_late_output_is_not_credited_to_the_next_call(package: MakePackage, tmp_path: Path) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    spec = spec_for(package(files("late_output")), environ_vars={"FLAGS": str(flags)})
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        assert handler.model_fn().success
        assert handler.input_fn(REQUEST, "text/csv").success
        assert handler.predict_fn().success
        (flags / "go").touch()
        assert wait_until((handler.package.model_dir / "done").exists, 10)
        formatted = handler.output_fn(accept="application/json")
    assert formatted.success
    assert log_of(formatted) == "output of output_fn\n"


def test_tester_environment_is_not_visible(
    package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/nonexistent/of-the-tester")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for handlers")
    result = run(spec_for(package(files("sees_tester_environment"))))
    assert result.overall_success, result.errors


def test_paths_with_spaces(package: MakePackage, tmp_path: Path) -> None:
    folder = package(files("leaves_child")).rename(tmp_path / "a package")
    workspace = tmp_path / "a b"
    workspace.mkdir()
    result = run(spec_for(folder), workspace_dir=workspace)
    assert result.overall_success, result.errors
    check_leftovers("".join(map(log_of, first_rows(result).values())))
    assert list(workspace.iterdir()) == []
