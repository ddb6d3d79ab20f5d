"""Running handlers as a user without privileges: a tester of its own in another process."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import InferenceHandlerSpec, InferenceTestResult
from harness.runtime.layers import Probe

ROOT = Path(__file__).parents[2]
SITE_PACKAGES = sysconfig.get_paths()["purelib"]
TRIAL = "import subprocess, sys, harness, numpy; subprocess.check_call([sys.executable, '-c', ''])"
USER = "nobody"


class Impossible(Exception):
    """No handler can be run as another user here; the text says why."""


class Nobody:
    """A tester that runs as `nobody`, and the directory that it can read and write."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process = process
        self.place = place
        self.temporary = place / "tmp"

    def probes(self) -> dict[str, Probe]:
        """Ask what this user can have."""
        return {name: Probe(**fields) for name, fields in json.loads(self._ask("")).items()}

    def run(self, spec: InferenceHandlerSpec) -> InferenceTestResult:
        """Test a handler, whose package is copied to where this user can read it."""
        folder = Path(tempfile.mkdtemp(dir=self.place))
        try:
            package = shutil.copytree(str(spec.packaged_model_path), folder / "package")
            subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
            given = {"packaged_model_path": str(package), "sys_path": (SITE_PACKAGES,)}
            return InferenceTestResult.model_validate_json(
                self._ask(spec.model_copy(update=given).model_dump_json())
            )
        finally:
            shutil.rmtree(folder)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the tester of {USER} ended; its error is in this test's output"
        return answer


@contextmanager
def started() -> Iterator[Nobody]:
    """Start a tester as `nobody` and end it. Raises Impossible."""
    if os.geteuid() != 0:
        raise Impossible("this user has no privileges: the other levels are run without any")
    place = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
    try:
        account = _account()
        (place / "tmp").mkdir()
        for folder in (place, place / "tmp"):
            os.chown(folder, account["user"], account["group"])
        options: dict[str, Any] = {"cwd": "/", "env": _variables(place), **account}
        script = str(Path(__file__).with_name("as_nobody.py"))
        with subprocess.Popen(
            [_interpreter(options), script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        ) as process:
            yield Nobody(process, place)
    finally:
        shutil.rmtree(place)


def _account() -> dict[str, Any]:
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        raise Impossible(f"this machine has no user {USER}") from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _variables(place: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join((str(ROOT), SITE_PACKAGES)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(place / "tmp"),
    }


def _interpreter(options: dict[str, Any]) -> str:
    """Find a Python that this user can run, with what the project needs: that of root often not."""
    tried = []
    version = f"python3.{sys.version_info.minor}"
    for program in (sys.executable, shutil.which(version, path=os.defpath)):
        if program is None:
            continue
        try:
            done = subprocess.run(
                [program, "-c", TRIAL], capture_output=True, text=True, check=False, **options
            )
        except OSError as error:
            tried.append(f"{program}: {error.strerror}")
            continue
        if done.returncode == 0:
            return program
        tried.append(f"{program}: {(done.stderr.strip() or 'fails').splitlines()[-1]}")
    raise Impossible(f"no {version} that {USER} can run imports the project: {'; '.join(tried)}")
