"""A warm worker is what a fresh one is, starts as soon as it can, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any

import psutil
import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.errors import HandlerEnvironmentError
from harness.runtime import layers
from harness.runtime.process import CHILD
from harness.spec_environment import PythonEnvironment
from harness.specs import Limits
from tests.adversarial.conftest import processes_of
from tests.conftest import MakePackage
from tests.handlers.good import packages
from tests.integration.test_good_handlers import SAMPLES
from tests.integration.test_pythons import OLDEST, found
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
FUNCTIONS = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction, accept
"""

# What a process is, as far as code in it can see; what must differ between two workers is left out.
DESCRIBES = """
import os, resource, signal, stat, sys, threading, warnings

def output_fn(prediction, accept):
    import gc, locale, socket, tempfile
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            kind = stat.S_IFMT(os.stat("/proc/self/fd/" + name).st_mode)
            links[name] = [kind, os.get_inheritable(int(name))]
        except OSError:
            pass
    return {
        "argv": sys.argv, "flags": list(sys.flags), "path": sys.path, "executable": sys.executable,
        "orig_argv": getattr(sys, "orig_argv", None), "prefix": [sys.prefix, sys.base_prefix],
        "environ": {k: "/handlerproof-" in v or v for k, v in os.environ.items()},
        "home": os.environ["HOME"] == os.path.expanduser("~") and os.listdir(os.environ["HOME"]),
        "tempdir": tempfile.gettempdir() == os.environ["TMPDIR"],
        "cwd": os.getcwd() == os.environ.get("PWD", os.getcwd()),
        "session": os.getsid(0) == os.getpid() == os.getpgid(0), "links": links,
        "threads": [threading.active_count(), threading.current_thread().name],
        "signals": {s.name: str(signal.getsignal(s)) for s in signal.valid_signals()
                    if isinstance(s, signal.Signals)},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "limits": [resource.getrlimit(getattr(resource, n))
                   for n in sorted(dir(resource)) if n.startswith("RLIMIT_")],
        "umask": os.umask(0o22), "nice": os.nice(0), "locale": locale.setlocale(locale.LC_ALL),
        "streams": [[s.encoding, s.errors, s.line_buffering, s.isatty(), s.seekable()]
                    for s in (sys.stdout, sys.stderr, sys.stdin)],
        "recursion": sys.getrecursionlimit(), "hooks": sorted(str(type(f)) for f in sys.meta_path),
        "main": sorted(vars(sys.modules["__main__"])), "bytecode": sys.dont_write_bytecode,
        "warnings": len(warnings.filters), "gc": [gc.isenabled(), gc.get_threshold()],
        "affinity": sorted(os.sched_getaffinity(0)),
        "modules": sorted(sys.modules),
    }
"""
SAMPLE = InferenceTestSample(sample_name="row", content_type="text/csv", request_body="1,2")
PLAIN = "imported before: nothing but the worker"


def spec_for(package: Path, **fields: Any) -> InferenceHandlerSpec:
    defaults: dict[str, Any] = {
        "handler_name": "handler",
        "packaged_model_path": str(package),
        "test_data_samples": (SAMPLE,),
        "supported_accept_types": ["application/json"],
        "timeout_seconds": 120,
    }
    return InferenceHandlerSpec(**(defaults | fields))


def how(result: InferenceTestResult) -> tuple[str, str]:
    assert result.environment is not None
    return result.environment.start, result.environment.start_reason


def answer(result: InferenceTestResult) -> Any:
    (end,) = result.end_to_end_results
    assert end.success, result.errors
    return json.loads(end.response.body or "")


def run(spec: InferenceHandlerSpec, start: str) -> InferenceTestResult:
    result = RuntimeTester().test_inference_handler(spec.model_copy(update={"start": start}))
    assert how(result)[0] == start, how(result)
    return result


# ---------------------------------------------------------------- a warm worker is as a fresh one


@pytest.mark.parametrize("imports", ["", "import numpy\n"])
@pytest.mark.parametrize("isolation", ["process", "auto"])
def test_warm_process_is_what_a_fresh_one_is(
    imports: str, isolation: str, package: MakePackage
) -> None:
    spec = spec_for(
        package({"code/inference.py": imports + FUNCTIONS + DESCRIBES}),
        isolation=isolation,
        environ_vars={"OF_THE_SPEC": "yes"},
    )
    fresh, warm = answer(run(spec, "fresh")), answer(run(spec, "warm"))
    assert len(fresh.pop("path")) == len(warm.pop("path"))  # of two run directories
    more = set(warm.pop("modules")) ^ set(fresh.pop("modules"))
    assert {name for name in more if not name.startswith("_handlerproof_worker")} == set()
    assert warm == fresh


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_worker_of_a_tester_that_ignores_signals_does_not(start: str, package: MakePackage) -> None:
    """As one does that was started in the background, or by nohup."""
    ignored = {
        number: signal.signal(number, signal.SIG_IGN) for number in (SIGINT, SIGHUP, SIGTERM)
    }
    try:
        found = answer(run(spec_for(package({"code/inference.py": FUNCTIONS + DESCRIBES})), start))
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)
    names = [found["signals"][number.name] for number in ignored]
    assert names == [str(signal.default_int_handler), *[str(signal.SIG_DFL)] * 2]


@pytest.mark.parametrize("isolation", ["process", "auto"])
def test_fresh_process_is_the_same_whoever_starts_its_supervisor(
    isolation: str, package: MakePackage
) -> None:
    code = FUNCTIONS + DESCRIBES
    spec = spec_for(package({"code/inference.py": code}), isolation=isolation, start="fresh")
    with RuntimeTester() as tester:
        own, forked, again = (answer(tester.test_inference_handler(spec)) for _ in range(3))
    for one in (own, forked, again):
        one["path"] = len(one["path"])  # of three run directories
    assert own == forked == again


@pytest.mark.parametrize("name", SAMPLES)
def test_good_handlers_get_the_same_answers(name: str, package: MakePackage) -> None:
    spec = spec_for(package(packages.files(name)), test_data_samples=SAMPLES[name])
    fresh, warm = run(spec, "fresh"), run(spec, "warm")
    assert fresh.overall_success, fresh.errors
    assert verdicts(fresh) == verdicts(warm)
    assert "sklearn" not in name or "sklearn" in how(warm)[1] or "joblib" in how(warm)[1]


def verdicts(result: InferenceTestResult) -> list[Any]:
    rows = [(row.outcome, row.output_type, row.log) for row in result.function_results()]
    ends = [(end.outcome, end.response) for end in result.end_to_end_results]
    return [*rows, *ends, result.compatibility_results and len(result.compatibility_results)]


RANDOM = """
import random, numpy, os

def output_fn(prediction, accept):
    own = numpy.random.default_rng()
    return [random.random(), float(numpy.random.random()), float(own.random())]
"""


def test_no_two_warm_workers_draw_the_same_numbers(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS + RANDOM}), start="warm")
    with RuntimeTester() as tester:
        drawn = [answer(tester.test_inference_handler(spec)) for _ in range(3)]
    assert len({number for numbers in drawn for number in numbers}) == 9


POOLS = """
import numpy, scipy.linalg, threadpoolctl

def output_fn(prediction, accept):
    found = threadpoolctl.threadpool_info()
    return sorted([pool["internal_api"], pool["num_threads"]] for pool in found)
"""


@pytest.mark.parametrize(
    ("imports", "threads"),
    [
        ("", {}),
        ("", {"OPENBLAS_NUM_THREADS": "1"}),
        ("import sklearn.ensemble\n", {"OMP_NUM_THREADS": "3"}),
    ],
)
def test_native_pools_have_the_threads_of_a_fresh_start(
    imports: str, threads: Mapping[str, str], package: MakePackage
) -> None:
    code = imports + FUNCTIONS + POOLS
    spec = spec_for(package({"code/inference.py": code}), environ_vars=threads)
    fresh, warm = answer(run(spec, "fresh")), answer(run(spec, "warm"))
    assert fresh == warm != []


# ---------------------------------------------------------------- when


def test_auto_is_fresh_alone_and_warm_from_the_second_on(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}))
    alone = RuntimeTester().test_inference_handler(spec)
    with RuntimeTester() as tester:
        ways = [how(tester.test_inference_handler(spec)) for _ in range(3)]
    assert how(alone) == ("fresh", "one run, after which nothing is kept")
    assert [way for way, _ in ways] == ["fresh", "warm", "warm"]
    assert ways[2] == ("warm", PLAIN)


def test_supervisors_of_fresh_workers_are_forked_from_the_second_on(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS + "import os" + TELLS}), start="fresh")
    with RuntimeTester() as tester:
        first, second, third = (answer(tester.test_inference_handler(spec)) for _ in range(3))
        templates = [child.pid for child in children() if "template" in child.cmdline()]
    assert first == [os.getpid()]
    assert [second, third] == [templates, templates]


TELLS = """
def output_fn(prediction, accept):
    with open("/proc/%d/stat" % os.getppid()) as file:
        return [int(file.read().rpartition(")")[2].split()[1])]
"""


def test_template_of_supervisors_that_was_killed_is_started_anew(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="fresh")
    with RuntimeTester() as tester:
        for _ in range(2):
            assert tester.test_inference_handler(spec).overall_success
        (template,) = [child for child in children() if "template" in child.cmdline()]
        template.kill()
        template.wait()
        assert tester.test_inference_handler(spec).overall_success
        (another,) = [child for child in children() if "template" in child.cmdline()]
        assert another.pid != template.pid


def test_fresh_stays_fresh_and_a_sandbox_has_no_template(package: MakePackage) -> None:
    files = {"code/inference.py": FUNCTIONS}
    with RuntimeTester() as tester:
        asked = tester.test_inference_handler(spec_for(package(files), start="fresh"))
        assert how(asked) == ("fresh", "asked for")
        if "bwrap" in available():
            boxed = spec_for(package(files), start="warm", isolation="bwrap")
            reason = "a sandbox has processes of its own only"
            assert how(tester.test_inference_handler(boxed)) == ("fresh", reason)


def available() -> list[str]:
    return [name for name, probe in layers.PROBES.items() if probe().works]


def test_what_a_model_needed_is_imported_before_the_next_time(package: MakePackage) -> None:
    lazy = "def model_fn(model_dir):\n    import numpy\n    return numpy\n"
    spec = spec_for(package({"code/inference.py": FUNCTIONS + lazy}))
    with RuntimeTester() as tester:
        reasons = [how(tester.test_inference_handler(spec)) for _ in range(3)]
    assert reasons[0][0] == "fresh"
    assert reasons[2] == ("warm", "imported before: numpy")


def test_a_module_of_the_handlers_own_wins_over_an_imported_one(package: MakePackage) -> None:
    own = {"code/numbers.py": "OWN = True\n", "code/inference.py": "import numpy" + FUNCTIONS}
    result = RuntimeTester().test_inference_handler(spec_for(package(own), start="warm"))
    assert how(result) == ("fresh", "numbers of the handler's own stands for a module in use")


# ---------------------------------------------------------------- what is not safe


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment, and give the directory of its packages."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    (packages_of,) = place.glob("lib/python*/site-packages")
    return packages_of


def python_of(environment: Path) -> dict[str, str]:
    return {"python": str(environment.parents[2] / "bin" / "python")}


UNSAFE = {
    "threads": ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True)"
                ".start()", "starts threads"),
    "children": ("import subprocess\nP = subprocess.Popen(['sleep', '60'])", "starts processes"),
    "descriptors": ("import socket\nS = socket.socket()", "opens descriptors"),
    "memory": ("import mmap\nM = mmap.mmap(-1, 4096)", "shares memory"),
    "output": ("print('loaded')", "prints"),
    "files": ("import os\nopen(os.path.expanduser('~/cache'), 'w').close()", "writes files"),
    "leaves": ("raise SystemExit(3)", "raised SystemExit"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNSAFE)
def test_unsafe_modules_are_left_out_and_reported(
    kind: str, environment: Path, package: MakePackage
) -> None:
    code, what = UNSAFE[kind]
    (environment / f"unsafe_{kind}.py").write_text(code)
    (environment / "harmless.py").write_text("")
    spec = spec_for(
        package({"code/inference.py": FUNCTIONS}),
        environment=python_of(environment),
        preload=("harmless", f"unsafe_{kind}"),
        start="warm",
    )
    with RuntimeTester() as tester:
        for _ in range(2):  # found, then remembered
            told = f"imported before: harmless; left out: unsafe_{kind} ({what})"
            assert how(tester.test_inference_handler(spec)) == ("warm", told)
    assert left() == []


def left() -> list[psutil.Process]:
    return list(processes_of(Path(tempfile.gettempdir())))


def test_who_waited_to_be_used_is_gone_with_the_tester(package: MakePackage) -> None:
    for start in ("warm", "fresh"):
        spec = spec_for(package({"code/inference.py": FUNCTIONS}), start=start)
        with RuntimeTester() as tester:
            for _ in range(2):
                assert tester.test_inference_handler(spec).overall_success
            assert left(), "of a template, and of who waits"
        assert left() == []


@pytest.mark.parametrize("session", ["", ", start_new_session=True"])
@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("P.wait()", "the template did not answer in 1 s"),
        ("import os; os._exit(3)", "the template ended"),
        ("import os; os.kill(os.getpid(), 11)", "the template ended"),
    ],
    ids=["hangs", "leaves", "crashes"],
)
def test_what_an_import_has_started_is_ended_with_the_template(
    then: str, reason: str, session: str, environment: Path, package: MakePackage
) -> None:
    code = UNSAFE["children"][0].replace("'60']", f"'60']{session}")
    (environment / "unsafe_ending.py").write_text(f"{code}\n{then}")
    spec = spec_for(
        package({"code/inference.py": FUNCTIONS}),
        environment=python_of(environment),
        preload=("unsafe_ending",),
        limits={"startup_timeout_seconds": 1} if "wait" in then else {},
        start="warm",
    )
    result = RuntimeTester().test_inference_handler(spec)
    assert how(result) == ("fresh", reason)
    assert wait_until(lambda: not left()), left()


IMPORTS_FOR_EVER = """
import sys
from harness import InferenceHandlerSpec, RuntimeTester
with open(sys.argv[1]) as file:
    spec = InferenceHandlerSpec.model_validate_json(file.read())
RuntimeTester(sys.argv[2]).test_inference_handler(spec)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("hangs", ["while True: pass", "import ctypes; ctypes.PyDLL(None).pause()"])
def test_an_import_that_takes_for_ever_ends_with_the_tester(
    ending: int, hangs: str, environment: Path, tmp_path: Path, package: MakePackage
) -> None:
    mark = tmp_path / "started"
    code = f"{UNSAFE['children'][0]}\nopen({str(mark)!r}, 'w').close()\n{hangs}"
    (environment / "unsafe_for_ever.py").write_text(code)
    spec = spec_for(
        package({"code/inference.py": FUNCTIONS}),
        environment=python_of(environment),
        preload=("unsafe_for_ever",),
        limits={"startup_timeout_seconds": 600},
        start="warm",
    )
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    words = [sys.executable, "-c", IMPORTS_FOR_EVER, str(tmp_path / "spec.json"), str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_until(mark.exists, 60)
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) == 2, "the template, and what it imports has started"
        finally:
            process.send_signal(ending)
        process.wait(60)
        assert wait_until(lambda: all(map(gone, family))), family


def gone(process: psutil.Process) -> bool:
    """Say whether a process has ended; its parent may not have collected it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_module_that_is_not_there_is_the_handlers_affair(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), preload=("surely_not",))
    assert how(run(spec, "warm")) == ("warm", PLAIN)


def test_an_environment_whose_sitecustomize_prints_is_started_fresh(
    tmp_path: Path, package: MakePackage
) -> None:
    venv.create(tmp_path / "custom", symlinks=True)
    (place,) = (tmp_path / "custom").glob("lib/python*/site-packages")
    (place / "sitecustomize.py").write_text("print('customized')")
    spec = spec_for(
        package({"code/inference.py": FUNCTIONS}), environment=python_of(place), start="warm"
    )
    result = RuntimeTester().test_inference_handler(spec)
    assert how(result) == ("fresh", "the environment by itself prints")
    assert "customized" in (result.model_fn_result.log.head if result.model_fn_result.log else "")


def test_a_template_that_was_killed_is_not_missed(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm")
    with RuntimeTester() as tester:
        with tester.open_handler(spec) as handler:
            assert handler.model_fn().success
            (template,) = [child for child in children() if "template" in child.cmdline()]
            template.kill()
            template.wait()
            assert handler.input_fn("1", "text/csv").success, "its workers do not need it"
        result = tester.test_inference_handler(spec)
        assert result.overall_success
        assert how(result) == ("fresh", "its template ended by itself")


def children() -> list[psutil.Process]:
    return psutil.Process().children()


# ---------------------------------------------------------------- who waits in a template


def waiting(start: str) -> tuple[psutil.Process, psutil.Process | None]:
    """Give the supervisor that waits in the template of this process, and its worker."""
    (template,) = [child for child in children() if "template" in child.cmdline()]
    assert wait_until(lambda: living(template))
    (supervisor,) = living(template)
    if start == "fresh":
        return supervisor, None
    assert wait_until(supervisor.children)
    return supervisor, supervisor.children()[0]


def living(template: psutil.Process) -> list[psutil.Process]:
    """List its children without those that it has not collected yet."""
    return [child for child in template.children() if not gone(child)]


def test_a_waiting_worker_that_was_killed_is_not_missed(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm")
    with RuntimeTester() as tester:
        assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)
        _, worker = waiting("warm")
        assert worker is not None
        worker.kill()
        assert wait_until(lambda: gone(worker))
        result = tester.test_inference_handler(spec)
        assert result.overall_success
        start, reason = how(result)
        assert start == "fresh"
        assert reason.startswith("the worker that was forked did not begin: "), reason
        assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)
    assert left() == []


def test_a_limit_below_a_templates_own_memory_is_nobody_elses_affair(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm")
    small = spec.model_copy(update={"limits": Limits(memory_limit_mb=1)})
    with RuntimeTester() as tester:
        assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)
        with pytest.raises(HandlerEnvironmentError):
            tester.test_inference_handler(small)  # neither does a fresh one begin in that
        assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)


def test_a_worker_that_takes_too_long_to_begin_ends_its_template(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm")
    told = "the worker that was forked did not begin: no answer before the deadline"
    with RuntimeTester() as tester:
        assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)
        with pytest.raises(HandlerEnvironmentError, match="no answer"):
            tester.test_inference_handler(
                spec.model_copy(update={"limits": Limits(startup_timeout_seconds=1e-9)})
            )
        assert how(tester.test_inference_handler(spec)) == ("fresh", told)


@pytest.mark.parametrize("start", ["fresh", "warm"])
@pytest.mark.parametrize("ending", [signal.SIGSTOP, signal.SIGKILL])
def test_who_waits_and_was_stopped_ends_with_a_template_that_cannot_end_it(
    ending: int, start: str, package: MakePackage
) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start=start)
    with RuntimeTester() as tester:
        for _ in range(2):
            assert tester.test_inference_handler(spec).overall_success
        pair = waiting(start)
        for process in filter(None, pair):
            process.suspend()
        pair[0].parent().send_signal(ending)
    assert wait_until(lambda: not left()), left()


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_who_waits_and_was_stopped_goes_on(start: str, package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start=start)
    with RuntimeTester() as tester:
        for _ in range(2):
            assert tester.test_inference_handler(spec).overall_success
        for process in waiting(start):
            if process is not None:
                process.suspend()
        result = tester.test_inference_handler(spec)
        assert result.overall_success
        assert how(result)[0] == start
    assert left() == []


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_who_is_forked_at_the_order_keeps_nothing_of_it(start: str, package: MakePackage) -> None:
    """A supervisor that was killed while it waited is replaced when its descriptors are here."""
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start=start)
    counts = []
    with RuntimeTester() as tester:
        for _ in range(2):
            assert tester.test_inference_handler(spec).overall_success
        for is_killed in (False, True):
            if is_killed:
                supervisor, _ = waiting(start)
                supervisor.kill()
                assert wait_until(lambda s=supervisor: gone(s))
            with tester.open_handler(spec) as handler:
                assert handler.model_fn().success
                assert handler._session is not None
                owner = psutil.Process(handler._session._process._popen.pid)
                counts.append(owner.num_fds())
    assert counts[0] == counts[1]


# ---------------------------------------------------------------- memory


GROWS = """
import image_of_100_mib

def predict_fn(data, model):
    kept = bytearray(120 << 20)
    kept[::4096] = b"x" * len(kept[::4096])
    import time
    time.sleep(0.3)
    return data
"""


@pytest.mark.parametrize(("limit", "passes"), [(180, False), (300, True)])
@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_memory_of_the_template_is_the_workers_own(
    start: str, limit: int, passes: bool, environment: Path, package: MakePackage
) -> None:
    code = "DATA = bytearray(100 << 20)\nDATA[::4096] = b'x' * len(DATA[::4096])\n"
    (environment / "image_of_100_mib.py").write_text(code)
    spec = spec_for(
        package({"code/inference.py": FUNCTIONS + GROWS}),
        environment=python_of(environment),
        preload=("image_of_100_mib",),
        limits={"memory_limit_mb": limit},
    )
    (row,) = run(spec, start).predict_fn_results
    assert row.outcome == ("passed" if passes else "memory_exceeded"), row
    assert (row.peak_memory_bytes or 0) >= 180 << 20


# ---------------------------------------------------------------- nothing is left


def test_every_python_can_be_a_template(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}))
    for path, version in found().items():
        if version is not None and version[:2] >= OLDEST:
            result = run(
                spec.model_copy(update={"environment": PythonEnvironment(python=path)}), "warm"
            )
            assert how(result)[1] == PLAIN, path
            assert answer_of_text(result) == "1,2"


def answer_of_text(result: InferenceTestResult) -> str | None:
    assert result.overall_success, result.errors
    return result.end_to_end_results[0].response.body


@pytest.mark.long
def test_soak_of_warm_workers(package: MakePackage, long_count: Callable[[int], int]) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm")
    with RuntimeTester() as tester:
        assert tester.test_inference_handler(spec).overall_success
        assert wait_until(waits)
        descriptors, others = open_descriptors(), len(running())
        for _ in range(long_count(2000)):
            assert how(tester.test_inference_handler(spec)) == ("warm", PLAIN)
        assert wait_until(lambda: len(running()) == others)
        assert open_descriptors() == descriptors


def open_descriptors() -> int:
    return psutil.Process().num_fds()


def waits() -> bool:
    """Say whether a template has a supervisor and a worker ahead of the next order."""
    return len(running()) == 3


def running() -> set[int]:
    """List what was started for handlers; the template keeps ended ones until its next order."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has ended by now
            if child.status() != psutil.STATUS_ZOMBIE and CHILD in child.cmdline():
                found.add(child.pid)
    return found


DAEMON = """
import os, time

def model_fn(model_dir):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(1)
        os._exit(0)
    os.wait()
"""
KILLS = (
    DAEMON
    + """
    os.kill(os.getppid(), 9)
    time.sleep(60)
"""
)


def test_orphans_of_a_killed_supervisor_are_swept_by_the_template(package: MakePackage) -> None:
    files = {"code/inference.py": FUNCTIONS + KILLS}
    spec = spec_for(package(files), start="warm", isolation="process")
    good = spec_for(package({"code/inference.py": FUNCTIONS}), start="warm", isolation="process")
    with RuntimeTester() as tester, tester.open_handler(good) as other:
        assert other.model_fn().success
        assert wait_until(lambda: len(running()) == 5), "template, this worker, one ahead"
        result = tester.test_inference_handler(spec)
        assert result.model_fn_result.outcome == "crashed"
        assert any("2 processes were ended" in text for text in result.warnings), result.warnings
        assert wait_until(lambda: len(running()) == 5), "and the workers of others live"
        assert other.input_fn("1", "text/csv").success


def test_orphans_are_swept_though_the_supervisor_has_not_ended_yet(package: MakePackage) -> None:
    """Its report ends some time before it does, and only then the template has its orphans."""
    files = {"code/inference.py": FUNCTIONS + DAEMON}
    spec = spec_for(package(files), start="warm", isolation="process")
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        assert handler.model_fn().success
        session = handler._session
        assert session is not None
        assert session._process.sweep(session._pipes.worker_pid) == 2
        assert wait_until(lambda: len(running()) == 3), "template, one ahead"


# ---------------------------------------------------------------- a tester that ignores children

IGNORES = """
import signal, sys
from harness import InferenceHandlerSpec, RuntimeTester
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with open(sys.argv[1]) as file:
    spec = InferenceHandlerSpec.model_validate_json(file.read())
with RuntimeTester() as tester:
    for _ in range(2):
        result = tester.test_inference_handler(spec)
print(result.model_dump_json())
"""
SEES_ITS_CHILD_END = """
import os, subprocess

def predict_fn(data, model):
    assert subprocess.run(["false"]).returncode == 1
    os.kill(os.getpid(), 11)
"""


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_tester_that_ignores_sigchld_knows_how_its_workers_end(
    start: str, package: MakePackage, tmp_path: Path
) -> None:
    spec = spec_for(package({"code/inference.py": FUNCTIONS + SEES_ITS_CHILD_END}), start=start)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    words = [sys.executable, "-c", IGNORES, str(tmp_path / "spec.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = InferenceTestResult.model_validate_json(done.stdout).predict_fn_results
    assert row.outcome == "crashed", row
    assert row.signal is not None
    assert row.signal.name == "SIGSEGV"
