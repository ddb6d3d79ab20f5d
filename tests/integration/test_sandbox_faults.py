"""A failure that is the sandbox's own doing is told as such, and no other failure is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness import InferenceTestResult
from harness.reports import console
from harness.runtime import layers
from tests.conftest import MakePackage
from tests.integration.test_diagnosis import outcome_of
from tests.planted.fault import GOOD, planted, raising, reading, with_

needs_landlock = pytest.mark.skipif(not layers.landlock().works, reason="there is no Landlock")
needs_bwrap = pytest.mark.skipif(not layers.bwrap().works, reason="there is no bubblewrap")
ROOT = Path(__file__).parents[2]
FETCHES = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{}/x')"


def result_of(package: MakePackage, code: str, **spec: object) -> InferenceTestResult:
    return outcome_of(package({"code/inference.py": code}), planted(code, (), spec=spec))


def loading(statement: str) -> str:
    return with_("return 2.0", f"{statement}; return 2.0")


def codes(result: InferenceTestResult) -> list[str]:
    return [seen.code for seen in result.diagnoses]


@needs_landlock
def test_write_that_landlock_refused_is_not_blamed_on_production(
    package: MakePackage, tmp_path: Path
) -> None:
    place = tmp_path / "cache"
    result = result_of(package, loading(f"open({str(place)!r}, 'w')"))
    assert codes(result) == ["HP901"]
    assert str(place) in result.diagnoses[0].message
    assert result.consequences == []
    out = Console(width=300, record=True)
    out.print(console.render(result))
    assert "next: see HP901 below: the sandbox of this test refused it" in out.export_text()
    assert result_of(
        package, loading(f"open({str(place)!r}, 'w')"), isolation="process"
    ).overall_success


@needs_landlock
def test_refused_write_of_a_later_function_names_its_sample(
    package: MakePackage, tmp_path: Path
) -> None:
    result = result_of(package, raising(f"import os; os.mkdir({str(tmp_path / 'made')!r})"))
    assert codes(result) == ["HP901"]
    assert (result.diagnoses[0].function, result.diagnoses[0].sample_name) == ("predict_fn", "s")


@needs_bwrap
def test_write_that_bubblewrap_refused(package: MakePackage, tmp_path: Path) -> None:
    home = Path(__file__).parent / "made-by-a-handler"
    result = result_of(package, loading(f"open({str(home)!r}, 'w')"), isolation="bwrap")
    assert codes(result) == ["HP901"]
    assert result.diagnoses[0].message.startswith("bwrap refused model_fn")


@needs_landlock
def test_refused_network(package: MakePackage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = loading(FETCHES.format(server.getsockname()[1]))
        result = result_of(package, code)
        if result.isolation is None or result.isolation.network == "allowed":
            pytest.skip("this Landlock refuses no network")
    assert codes(result) == ["HP902"]
    assert "model_fn asks 127.0.0.1:" in result.diagnoses[0].message
    assert result.consequences == []


@needs_bwrap
def test_name_that_cannot_be_looked_up_in_a_sandbox_without_network(package: MakePackage) -> None:
    code = loading("import socket; socket.getaddrinfo('a.invalid', 80)")
    assert codes(result_of(package, code, isolation="bwrap")) == ["HP902"]


@needs_landlock
@pytest.mark.parametrize(
    "statement",
    [
        "import os; open(os.path.join(model_dir, 'made'), 'w'); "
        "os.rename(os.path.join(model_dir, 'made'), {!r})",
        "open({!r}.encode(), 'w')",
        "import pathlib; pathlib.Path({!r}).mkdir()",
    ],
)
def test_place_that_was_refused_is_the_one_outside(
    package: MakePackage, tmp_path: Path, statement: str
) -> None:
    place = str(tmp_path / "it's")
    result = result_of(package, loading(statement.format(place)))
    assert codes(result) == ["HP901"]
    assert place in result.diagnoses[0].message


@needs_landlock
@pytest.mark.parametrize(
    "statement",
    [
        "import subprocess; subprocess.run([model_dir + '/code/inference.py'])",
        "import subprocess; subprocess.run([model_dir])",
        "import os; os.execv(model_dir + '/code/inference.py', ['x'])",
        "import subprocess; subprocess.run([{!r}])",
    ],
)
def test_program_that_cannot_be_started_is_the_handlers(
    package: MakePackage, tmp_path: Path, statement: str
) -> None:
    result = result_of(package, loading(statement.format(str(tmp_path))))
    assert codes(result) == ["HP201"]
    assert result.consequences != []


@pytest.mark.skipif(not layers.seccomp_filter().works, reason="there is no seccomp")
@pytest.mark.parametrize(
    "statement",
    [
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
        "import asyncio; asyncio.run(asyncio.open_connection('127.0.0.1', 9))",
    ],
)
def test_socket_that_is_refused_itself(package: MakePackage, statement: str) -> None:
    assert codes(result_of(package, loading(statement))) == ["HP902"]


@pytest.mark.parametrize(
    "statement",
    [
        "raise PermissionError(\"[Errno 13] Permission denied: '/not/there/at/all'\")",
        "raise PermissionError('relative', \"[Errno 13] Permission denied: 'x'\")",
        "import mmap, os; mmap.mmap(os.open(__file__, os.O_RDONLY), 1)",
        "raise OSError('[Errno 13] Permission denied')",
    ],
)
def test_other_failures_are_the_handlers(package: MakePackage, statement: str) -> None:
    result = result_of(package, loading(statement))
    assert "HP201" in codes(result)
    assert not {"HP901", "HP902"} & set(codes(result))
    assert result.consequences != []


@pytest.mark.parametrize(
    "then",
    [
        "raise ValueError('the weights are odd')",
        "import mmap, os; mmap.mmap(os.open(__file__, os.O_RDONLY), 1)",
        "raise PermissionError(13, 'Permission denied')",
    ],
)
def test_attempt_that_the_handler_got_over_is_not_blamed(package: MakePackage, then: str) -> None:
    code = with_(
        "return 2.0",
        f"""
    try:
        {FETCHES.format(9)}
    except OSError:
        pass
    {then}""",
    )
    assert codes(result_of(package, code)) == ["HP201"]


def test_body_is_not_blamed_for_what_the_sandbox_refused(
    package: MakePackage, tmp_path: Path
) -> None:
    if not layers.landlock().works:
        pytest.skip("there is no Landlock")
    code = reading(f"    open({str(tmp_path / 'kept')!r}, 'wb')")
    fault = planted(code, (), content_type="application/x-npy", body=b"garbage")
    result = outcome_of(package({"code/inference.py": code}), fault)
    assert codes(result) == ["HP901"]


def test_path_that_the_tester_cannot_encode_is_nobodys() -> None:
    """In an interpreter whose file names are ASCII: another may be asked what this one cannot."""
    code = """
from harness.checks import refusals
from harness.results import FunctionTestResult
from harness.summaries import FailureSummary, IsolationSummary, MemoryWatch
said = "[Errno 13] Permission denied: '/tmp/\\u20ac/x'"
failure = FailureSummary(type="OSError", module="builtins", message=said, traceback="")
row = FunctionTestResult(
    function_name="model_fn", outcome="raised", execution_time=0, failure=failure
)
memory = MemoryWatch(enforcer="none", metric="pss")
layers = IsolationSummary(requested="auto", effective=["landlock:7"], missing=[], memory=memory,
                          network="none", filesystem="landlock", kill="subreaper")
assert refusals.of(row, layers) is None
"""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = [sys.executable, "-c", code.strip()]
    subprocess.run(run, env={**os.environ, **plain}, check=True, cwd=ROOT, timeout=60)


@needs_landlock
def test_good_handler_that_writes_where_it_may(package: MakePackage) -> None:
    code = GOOD.replace("return 2.0", "import tempfile; tempfile.mkstemp(); return 2.0")
    assert codes(result_of(package, code)) == []
