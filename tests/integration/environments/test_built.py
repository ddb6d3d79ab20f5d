"""Environments built of requirements: each handler has its own, whatever others have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness import HandlerEnvironmentError, InferenceHandlerSpec
from harness.environments import interpreters
from tests import wheels
from tests.integration.environments.conftest import HANDLER, INPUT, SAMPLE, SEES, Yard, version

LEVELS = ("process", "auto", "bwrap")


def have(level: str) -> None:
    if level == "bwrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not here")


def test_requirements_that_exclude_each_other_both_pass(yard: Yard) -> None:
    """And neither sees the other's packages or the tester's."""
    yard.wheel("other", "1.0")
    for asked, expected in (("small==1.0", "1.0"), ("small==2.0", "2.0")):
        result = yard.run(yard.spec(asked))
        assert result.overall_success, result.errors
        assert version(result) == f'{{"version": "{expected}"}}'
        assert result.environment is not None
        assert result.environment.kind == "requirements"
        assert result.environment.key is not None
    assert version(yard.run(yard.spec("other", SEES))) == "other"
    assert version(yard.run(yard.spec("small==1.0", SEES))) == "small"
    assert yard.builds() == 3


def test_list_of_requirements_and_a_file_are_the_same_environment(
    yard: Yard, tmp_path: Path
) -> None:
    file = tmp_path / "wanted.txt"
    file.write_text("small==1.0  # the old one\n")
    for asked in ("small==1.0", str(file)):
        result = yard.run(yard.spec("small==2.0", requirements=[asked] if "==" in asked else asked))
        assert version(result) == '{"version": "1.0"}'
    assert yard.builds() == 1


def test_included_files_and_constraints_are_part_of_the_key(yard: Yard) -> None:
    def files(pin: str) -> InferenceHandlerSpec:
        package = yard.package(
            {
                "code/inference.py": HANDLER + INPUT,
                "code/requirements.txt": "-r more/those.txt\n-c pins.txt\n",
                "code/more/those.txt": "small\n",
                "code/pins.txt": f"small=={pin}\n",
            }
        )
        return InferenceHandlerSpec(
            handler_name="h",
            packaged_model_path=str(package),
            test_data_samples=(SAMPLE,),
            environment={"requirements": "auto"},
        )

    assert version(yard.run(files("1.0"))) == '{"version": "1.0"}'
    assert version(yard.run(files("2.0"))) == '{"version": "2.0"}'
    assert yard.builds() == 2


def test_constraints_of_the_users_own_configuration_hold(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert version(yard.run(yard.spec("small"))) == '{"version": "2.0"}'
    (tmp_path / "pins.txt").write_text("small<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "pins.txt"))
    assert version(yard.run(yard.spec("small"))) == '{"version": "1.0"}'


def test_index_of_the_users_own_configuration_is_asked(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index on the loopback that has what no other place has, named in a file of pip's."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    wheels.make(tmp_path / "index" / "small", "small", "7.0")
    handler = partial(QuietHandler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        file = tmp_path / "pip.conf"
        file.write_text(f"[global]\nindex-url = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
        try:
            result = yard.run(yard.spec("small"))
        finally:
            server.shutdown()
            serving.join()
    assert version(result) == '{"version": "7.0"}'


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory and says nothing of it."""

    def log_message(self, format: str, *given: object) -> None:
        """Say nothing."""


def test_twenty_threads_ask_and_one_builds(yard: Yard) -> None:
    spec, results, failures = yard.spec("small"), [], []
    barrier = threading.Barrier(20)

    def ask() -> None:
        barrier.wait()
        try:
            results.append(yard.run(spec).overall_success)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert results == [True] * 20
    assert yard.builds() == 1


@pytest.mark.parametrize("level", LEVELS)
def test_handler_that_writes_into_site_packages_changes_nothing_for_the_next(
    level: str, yard: Yard
) -> None:
    have(level)
    code = """
import os, small

def model_fn(model_dir):
    init = small.__file__
    for path in (init, os.path.join(os.path.dirname(os.path.dirname(init)), "added.py")):
        try:
            os.chmod(os.path.dirname(path), 0o755)
            if os.path.exists(path):
                os.chmod(path, 0o644)
            times = os.stat(init)
            with open(path, "r+" if os.path.exists(path) else "w") as file:
                file.write("__version__ = 9.9\\n")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        except OSError:
            pass
    return small.__version__

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return prediction
"""
    assert version(yard.run(yard.spec("small==1.0", code, isolation=level))) == "1.0"
    after = yard.run(yard.spec("small==1.0", isolation=level))
    assert version(after) == '{"version": "1.0"}'
    seen = yard.run(yard.spec("small==1.0", SEES.replace('"other"', '"added"'), isolation=level))
    assert version(seen) == "small"


def test_what_is_written_behind_our_back_is_found_and_built_anew(yard: Yard) -> None:
    assert version(yard.run(yard.spec("small==1.0"))) == '{"version": "1.0"}'
    (site,) = yard.cache.glob("*/lib/python*/site-packages")
    site.chmod(0o755)
    (site / "intruder.py").write_text("")
    assert version(yard.run(yard.spec("small==1.0"))) == '{"version": "1.0"}'
    assert yard.builds() == 2
    assert not list(yard.cache.glob("*/lib/python*/site-packages/intruder.py"))


def test_environment_is_read_only_and_shares_no_inode(yard: Yard, tool: str) -> None:
    yard.run(yard.spec("small==1.0"))
    (site,) = yard.cache.glob("*/lib/python*/site-packages")
    for path in (site, *site.rglob("*")):
        status = path.lstat()
        assert not status.st_mode & 0o222, path
        assert path.is_dir() or status.st_nlink == 1, path


def test_allow_install_gives_a_copy_that_is_thrown_away(yard: Yard) -> None:
    yard.wheel("other", "3.0")
    code = f"""
import subprocess, sys
subprocess.run(
    [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", {str(yard.wheels)!r},
     "small==2.0", "other"],
    check=True,
)
import small, other

def model_fn(model_dir):
    return small.__version__ + other.__version__

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return prediction
"""
    result = yard.run(yard.spec("small==1.0", code, allow_install=True))
    assert version(result) == "2.03.0", result.errors
    assert any("set network=True" in text for text in result.warnings)
    assert version(yard.run(yard.spec("small==1.0", SEES))) == "small"
    assert yard.builds() == 1


def test_handler_that_installs_without_leave_is_told_why_it_fails(yard: Yard) -> None:
    code = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "pip", "install", "small"], check=True)

def output_fn(prediction, accept):
    return prediction
"""
    result = yard.run(yard.spec("small==1.0", code))
    assert not result.overall_success
    (told,) = [text for text in result.warnings if "installs packages" in text]
    assert "inference.py:3" in told
    assert "its environment cannot be written" in told
    assert "allow_install" in told


def test_python_of_another_version_is_found_and_built_for(yard: Yard) -> None:
    for minor in ("3.8", "3.13"):
        try:
            interpreters.find(minor)
        except HandlerEnvironmentError:
            pytest.skip(f"there is no Python {minor}")
        result = yard.run(yard.spec("small", python=minor))
        assert result.overall_success, result.errors
        assert result.environment is not None
        assert result.environment.python_version.startswith(minor + ".")


def test_venv_of_the_user_is_used_as_it_is(yard: Yard, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    (site,) = (tmp_path / "own").glob("lib/python*/site-packages")
    (site / "small.py").write_text("__version__ = 'own'\n")
    spec = yard.spec("small").model_copy(update={"environment": {"venv": str(tmp_path / "own")}})
    result = yard.run(spec)
    assert version(result) == '{"version": "own"}'
    assert result.environment is not None
    assert result.environment.kind == "venv"
    assert yard.builds() == 0


# ---------------------------------------------------------------- bad input


def refusal(yard: Yard, spec: InferenceHandlerSpec) -> str:
    with pytest.raises(HandlerEnvironmentError) as caught:
        yard.run(spec)
    assert not yard.half_built()
    return str(caught.value)


def test_version_that_is_on_no_index_ends_with_the_tools_words(yard: Yard) -> None:
    assert "small==3.0" in refusal(yard, yard.spec("small==3.0"))


def test_requirements_that_exclude_each_other_in_one_end_with_the_tools_words(
    yard: Yard, tool: str
) -> None:
    yard.wheel("asks", "1.0", needs=["small<2"])
    assert "small" in refusal(yard, yard.spec("asks\nsmall==2.0"))


def test_offline_says_so_and_what_is_missing(yard: Yard, tool: str) -> None:
    said = refusal(yard, yard.spec("absent", offline=True))
    assert "absent" in said
    assert "offline: only what is on this machine" in said


def test_wheel_of_another_platform_is_refused(yard: Yard, tool: str) -> None:
    wheel = yard.wheel("foreign", "1.0", tag="py3-none-win_amd64")
    said = refusal(yard, yard.spec("small", requirements=[str(wheel)]))
    assert re.search("(this|current) platform", said), said


def test_no_network_ends_with_the_tools_words(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")  # without one, pip does not say what happened
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    said = refusal(yard, yard.spec("absent"))
    assert "absent" in said
    assert "onnect" in said, said  # connection refused, or failed to connect


def test_broken_wheel_leaves_nothing_half_built(yard: Yard) -> None:
    (yard.wheels / "broken-1.0-py3-none-any.whl").write_bytes(b"no zip")
    assert "broken" in refusal(yard, yard.spec("broken"))


def test_program_that_is_no_interpreter(yard: Yard, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho I am no python\nexit 4\n")
    program.chmod(0o755)
    assert "I am no python" in refusal(yard, yard.spec("small", python=str(program)))


def test_version_that_cannot_be_had_names_those_that_can(yard: Yard) -> None:
    said = refusal(yard, yard.spec("small", python="3.97"))
    assert "there is no Python 3.97" in said
    assert "3.11" in said or "3.12" in said or "3.13" in said


def test_build_that_takes_too_long_is_ended(yard: Yard) -> None:
    """The build of a project may run anything; none of it is left (the fixture looks)."""
    project = yard.wheels.parent / "slow"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
    )
    (project / "back.py").write_text(
        "import os, subprocess, sys\n"
        "subprocess.Popen(['sleep', '600'])\n"
        "def build_wheel(*given, **more):\n    subprocess.run(['sleep', '600'])\n"
    )
    said = refusal(yard, yard.spec("small", requirements=[str(project)], build_timeout_seconds=5))
    assert "was not done after 5 s" in said


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs a file system of its own")
def test_no_space_is_the_tools_word_and_exit_code_4(yard: Yard, tmp_path: Path) -> None:
    filler = {"big/__init__.py": "", "big/data.txt": "x" * (8 << 20)}
    yard.wheel("big", "1.0", files=filler)
    package = yard.package({"code/inference.py": HANDLER + INPUT, "code/requirements.txt": "big\n"})
    folder = tmp_path / "full"
    folder.mkdir()
    own = [sys.executable, "-c", "from harness.cli import main; main()"]
    # What lies there is listed from within, where the small file system is.
    within = ["sh", "-c", '"$@"; code=$?; find "$0" -mindepth 2 -maxdepth 2; exit $code', folder]
    space = ["bwrap", "--dev-bind", "/", "/", "--size", str(3 << 20), "--tmpfs", folder]
    done = subprocess.run(
        [*space, *within, *own, "env", "build", package],
        env={**os.environ, "HANDLERPROOF_CACHE": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "bwrap:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 4, done.stderr
    assert "No space left" in done.stderr
    assert all(line.endswith(".lock") for line in done.stdout.splitlines()), done.stdout
    assert "Traceback" not in done.stderr
