"""Report files of a batch: where they go is looked at before anything runs, what fails is told."""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.batch_results import BatchResult
from harness.cli.output import check_output
from harness.errors import HarnessError
from harness.reports import github, html, junit


def check(files: Mapping[str, Path | None]) -> None:
    """Refuse a place that cannot be written, and a report that cannot be made. Raises SpecError."""
    for option, file in files.items():
        if file is not None:
            check_output(f"--{option}", file)
    if files.get("html") is not None:
        html.need_jinja()


def write(batch: BatchResult, files: Mapping[str, Path | None], state: str | None) -> None:
    """Write each report that was asked for. Raises HarnessError for those that cannot be written.

    One that fails does not keep the others from being written.
    """
    makers = {
        "output": lambda: (batch.model_dump_json(indent=2) + "\n").encode(),
        "junit": lambda: junit.render(batch),
        "markdown": lambda: github.markdown(batch).encode(),
        "html": lambda: html.render(batch).encode(),
    }
    problems = []
    for option, file in files.items():
        if file is None:
            continue
        try:
            _put(file, makers[option]())
        except OSError as error:
            problems.append(f"--{option}: {file} cannot be written: {error.strerror}")
    if problems:
        kept = f"; every result is kept in {state}, --resume writes the reports" if state else ""
        raise HarnessError("; ".join(problems) + kept)


def _put(file: Path, data: bytes) -> None:
    """Replace a file whole or not at all; a pipe or a device is written to."""
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    written = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        written.write_bytes(data)
        if file.exists():
            written.chmod(file.stat().st_mode & 0o777)
        written.replace(file)
    finally:
        written.unlink(missing_ok=True)
