"""Environments of the real toolkits: built with venv and pip once, kept in the user's cache.

They are apart from the tests' own, whose packages must not decide what the toolkits do.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

# What both sides need in the same version, since bodies become arrays of it.
SHARED = tuple(f"{name}=={version(name)}" for name in ("numpy", "scipy"))
# By themselves, and beside them only what they import to answer: boto3 alone takes longer than all.
TOOLKIT = ("sagemaker-inference==1.10.1", "multi-model-server==1.1.11")
OF_TOOLKIT = (*SHARED, "six", "psutil", "pillow", "setuptools<81", "wheel")
OF_FRAMEWORKS = (
    *("sagemaker-huggingface-inference-toolkit==2.6.0", "sagemaker-pytorch-inference==2.0.25"),
)
# torch with pip and in one version: the build for CPUs. retrying is what PyTorch's toolkit imports.
FRAMEWORKS = (*OF_TOOLKIT, "torch==2.13.0", "transformers==4.57.1", "huggingface_hub<1", "retrying")


class CannotBuild(Exception):
    """An environment cannot be had here; its text says why."""


def python_of(alone: tuple[str, ...], whole: tuple[str, ...]) -> Path:
    """Give the interpreter of an environment, building it the first time.

    `alone` are installed without what they depend on, `whole` with it. Raises CannotBuild with the
    last words of pip.
    """
    asked = "\n".join((sys.version, *alone, "--", *whole))
    folder = _cache() / hashlib.sha256(asked.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, done = folder / "bin" / "python", folder / "complete"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be building it
        if not done.exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            _pip(python, *whole)
            _pip(python, "--no-deps", "--no-build-isolation", *alone)
            done.touch()
    return python


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "handlerproof" / "conformance"


def _pip(python: Path, *arguments: str) -> None:
    quiet = ("-q", "--disable-pip-version-check", "--no-input", "--no-compile")
    _run(str(python), "-m", "pip", "install", *quiet, *arguments)


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise CannotBuild(f"{' '.join(command[:4])}: {ran.stderr[-1500:].strip()}")
