"""The worker runs under every Python from 3.8 on that this machine has; older ones are refused."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest

from harness import (
    HandlerEnvironmentError,
    InferenceHandlerSpec,
    InferenceTestSample,
    Outcome,
    RuntimeTester,
    ScriptExecutionSpec,
)
from tests.conftest import MakePackage
from tests.handlers.good import packages

NAME = re.compile(r"python(3(\.\d+)?)?")
ASK = "import sys; sys.stdout.write('%d.%d.%d %s' % (sys.version_info[:3] + (sys.executable,)))"
OLDEST = (3, 8)
HEAVY = ("importlib.metadata", "email", "zipfile", "csv", "inspect", "typing", "logging", "ctypes")


@functools.cache
def found() -> dict[str, tuple[int, ...] | None]:
    """Give every interpreter of this machine with its version; None for one that does not run."""
    interpreters: dict[str, tuple[int, ...] | None] = {}
    for path in sorted({*_on_path(), *_of_pyenv(), *_of_uv()}):
        version, real = _ask(path)
        if version is None or version not in interpreters.values():
            interpreters[real if version is not None else path] = version
    return interpreters


def _on_path() -> list[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [
        str(file)
        for folder in filter(os.path.isdir, folders)
        for file in Path(folder).iterdir()
        if NAME.fullmatch(file.name) and os.access(file, os.X_OK)
    ]


def _of_pyenv() -> list[str]:
    folder = Path(os.path.expanduser("~/.pyenv/versions"))
    return [str(path) for path in folder.glob("*/bin/python")]


def _of_uv() -> list[str]:
    uv = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
    if uv is None:
        return []
    asked = [uv, "python", "list", "--only-installed", "--no-config", "--offline"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return [words[1] for words in map(str.split, listed.splitlines()) if len(words) > 1]


def _ask(path: str) -> tuple[tuple[int, ...] | None, str]:
    try:
        done = subprocess.run(
            [path, "-c", ASK], capture_output=True, text=True, timeout=20, check=True
        )
        version, _, real = done.stdout.partition(" ")
        return tuple(map(int, version.split("."))), real
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, path


def spec_for(package: MakePackage, python: str) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(
        handler_name="plain",
        packaged_model_path=str(package(packages.files("plain"))),
        test_data_samples=(
            InferenceTestSample(
                sample_name="csv",
                content_type="text/csv",
                request_body="1,2\n3,4\n",
                accept_types=("application/json",),
                expected_body={"predictions": [4.0, 9.0]},
            ),
            InferenceTestSample(
                sample_name="refused",
                content_type="application/x-npy",
                request_body=b"\x93NUMPY",
                should_succeed=False,
                error_message_pattern="ValueError: unsupported content type",
            ),
        ),
        environment={"python": python},
    )


@pytest.mark.parametrize("python", found(), ids=lambda path: str(path).lstrip("/"))
def test_plain_handler_passes_under(python: str, package: MakePackage) -> None:
    version = found()[python]
    if version is None:
        pytest.skip(f"{python} does not run")
    if version < OLDEST:
        pytest.skip(f"{python} is Python {'.'.join(map(str, version))}, older than 3.8")
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec_for(package, python))
    assert result.overall_success, result.errors
    assert result.environment is not None
    assert result.environment.python_version == ".".join(map(str, version))
    assert result.environment.kind == "python"
    refused = result.input_fn_results[1]
    assert refused.success, refused.error_message


@pytest.mark.parametrize("start", ["fresh", "warm"])
@pytest.mark.parametrize("python", found(), ids=lambda path: str(path).lstrip("/"))
def test_worker_loads_nothing_heavy_for_itself_under(
    python: str, start: str, package: MakePackage
) -> None:
    """What takes longer to load than most handlers is loaded when a handler, or the site, does."""
    version = found()[python]
    if version is None or version < (3, 10):
        pytest.skip(f"{python} cannot tell which names are those of the standard library")
    listing = f"import sys; loaded = [name for name in {HEAVY} if name in sys.modules]"
    command = [python, "-s", "-c", f"{listing}; print(loaded)"]
    by_the_site = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code = f"{listing}\n\ndef model_fn(model_dir):\n    return loaded\n"
    spec = InferenceHandlerSpec.model_validate(
        {
            "handler_name": "light",
            "packaged_model_path": str(package({"code/inference.py": code})),
            "environment": {"python": python},
            "start": start,
        }
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        model = handler.model_fn()
        assert handler.environment is not None
        assert handler.environment.start == start
    assert model.output_data is not None, model.error_message
    assert model.output_data.preview == by_the_site.strip()


@pytest.mark.parametrize("python", found(), ids=lambda path: str(path).lstrip("/"))
@pytest.mark.parametrize("arguments", [None, ("7",)], ids=["main", "program"])
def test_script_runs_under(python: str, arguments: tuple[str] | None, tmp_path: Path) -> None:
    version = found()[python]
    if version is None or version < OLDEST:
        pytest.skip(f"{python} is none that a worker runs on")
    file = tmp_path / "script.py"
    body = "import sys\nprint(sys.version_info[:2], sys.argv[1:])\nsys.exit(7)"
    main = "def main(input_paths, output_paths, environ_vars, job_args):\n"
    file.write_text(body if arguments else main + textwrap.indent(body, "    "))
    spec = ScriptExecutionSpec(
        script_name="script",
        step_name="step",
        script_path=str(file),
        arguments=arguments,
        environment={"python": python},
    )
    with RuntimeTester() as tester:
        result = tester.test_script_with_spec(spec)
    assert (result.outcome, result.exit_code) == (Outcome.exited, 7)
    assert result.log is not None
    assert result.log.head == f"{version[:2]} {list(arguments or ())}\n"


def test_this_python_is_among_those_found() -> None:
    assert sys.version_info[:3] in found().values()


OLD = [path for path, version in found().items() if version is not None and version < OLDEST]


@pytest.mark.parametrize("python", OLD, ids=lambda path: str(path).lstrip("/"))
def test_older_python_is_an_error_of_the_environment(python: str, package: MakePackage) -> None:
    with (
        RuntimeTester() as tester,
        pytest.raises(HandlerEnvironmentError, match=r"3\.8 or newer") as caught,
    ):
        tester.test_inference_handler(spec_for(package, python))
    assert python in str(caught.value)


def test_program_that_is_no_python_is_an_error_of_the_environment(
    package: MakePackage, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho not a python\nexit 4\n")
    program.chmod(0o755)
    with RuntimeTester() as tester, pytest.raises(HandlerEnvironmentError, match="did not start"):
        tester.test_inference_handler(spec_for(package, str(program)))


def test_program_of_another_machine_is_an_error_of_the_environment(
    package: MakePackage, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_bytes(b"\x7fELF" + bytes(60))
    program.chmod(0o755)
    with RuntimeTester() as tester, pytest.raises(HandlerEnvironmentError, match="Exec format"):
        tester.test_inference_handler(spec_for(package, str(program)))


def test_virtual_environment_gives_its_own_packages(package: MakePackage, tmp_path: Path) -> None:
    """Its site-packages are there, .pth files too, and not those of the tester."""
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (site / "only_here.py").write_text("WEIGHT = 3.0\n")
    (site / "more.pth").write_text(f"{tmp_path / 'linked'}\n")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "by_pth.py").write_text("BIAS = 0.5\n")
    code = """
import importlib.util, sys
import only_here, by_pth

def model_fn(model_dir):
    assert sys.prefix != sys.base_prefix, "not in the virtual environment"
    return importlib.util.find_spec("pydantic")

def predict_fn(data, model):
    return only_here.WEIGHT * data + by_pth.BIAS
"""
    spec = InferenceHandlerSpec(
        handler_name="venv",
        packaged_model_path=str(package({"code/inference.py": code})),
        environment={"python": str(tmp_path / "env" / "bin" / "python")},
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as handler:
        model = handler.model_fn()
        assert (model.output_type, model.error_message) == ("NoneType", None)
        predicted = handler.predict_fn(2)
    assert predicted.output_data is not None
    assert predicted.output_data.preview == "6.5"
