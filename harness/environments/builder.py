"""Build an environment: with uv when it is found, else with venv and pip."""

from __future__ import annotations

import json
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import user_config
from harness.environments.interpreters import Python
from harness.environments.requirements import Requirements
from harness.environments.tool import Run


@dataclass(frozen=True)
class Builder:
    """The tool that builds: `uv`, with its program, or `pip`."""

    kind: str
    program: str | None = None

    def build(
        self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool
    ) -> None:
        """Make a virtual environment with the requirements in it, compiled.

        Raises HandlerEnvironmentError with the tool's last words.
        """
        build = self._with_uv if self.kind == "uv" else self._with_pip
        build(run, python, asked, into, offline)

    def lock(self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool) -> str:
        """Give exact versions with hashes for the requirements. Raises HandlerEnvironmentError."""
        resolve = self._lock_with_uv if self.kind == "uv" else self._lock_with_pip
        return resolve(run, python, asked, into, offline)

    def _with_uv(
        self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool
    ) -> None:
        assert self.program is not None
        flags = [*user_config.uv_flags(), *(["--offline"] if offline else [])]
        run(self.program, "venv", "--no-python-downloads", "--python", python.executable, into)
        if not asked.empty:
            # Hard links would share their inodes with uv's cache, and so with everything else.
            how = ["--link-mode", "copy", "--compile-bytecode", *flags]
            to: list[str | Path] = ["--python", into / "bin" / "python"]
            run(self.program, "pip", "install", *how, *to, *_words(asked))

    def _with_pip(
        self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool
    ) -> None:
        run(python.executable, "-I", "-m", "venv", into)
        if not asked.empty:
            # Isolated, or a pip.py beside the requirements would be run in place of pip.
            pip: list[str | Path] = [into / "bin" / "python", "-I", "-m", "pip"]
            run(*pip, "install", *(["--no-index"] if offline else []), *_words(asked))

    def _lock_with_uv(
        self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool
    ) -> str:
        assert self.program is not None
        listed = into / "requirements.in"
        lines = [f"-r {asked.file}"] if asked.file else []
        listed.write_text("\n".join([*lines, *asked.lines]) + "\n")
        found = into / "requirements.lock"
        run(
            *(self.program, "pip", "compile", "--quiet", "--generate-hashes", "--no-header"),
            *("--no-annotate", "--no-python-downloads", "--python", python.executable),
            *("--no-emit-index-url", "--no-emit-find-links"),
            *user_config.uv_flags(),
            *(["--offline"] if offline else []),
            *("--output-file", found, listed),
        )
        return found.read_text()

    def _lock_with_pip(
        self, run: Run, python: Python, asked: Requirements, into: Path, offline: bool
    ) -> str:
        run(python.executable, "-I", "-m", "venv", into / "venv")
        report = into / "report.json"
        run(
            *(into / "venv" / "bin" / "python", "-I", "-m", "pip", "install", "--dry-run"),
            *("--ignore-installed", "--quiet", "--report", report),
            *(["--no-index"] if offline else []),
            *_words(asked),
        )
        return _locked(json.loads(report.read_bytes()))


def choose() -> Builder:
    """Take uv when it is on PATH or installed beside the tester, else pip."""
    uv = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    return Builder("uv", uv) if uv is not None else Builder("pip")


def _words(asked: Requirements) -> list[str | Path]:
    file: list[str | Path] = ["-r", asked.file] if asked.file else []
    return [*file, *asked.lines]


def _locked(report: dict[str, Any]) -> str:
    """Write pip's report as a requirements file."""
    lines = []
    for item in report["install"]:
        meta = item["metadata"]
        hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
        words = [f"{meta['name']}=={meta['version']}"]
        words += [f"--hash={kind}:{value}" for kind, value in sorted(hashes.items())]
        lines.append(" \\\n    ".join(words))
    return "\n".join(sorted(lines, key=str.lower)) + "\n"
