"""Samples written down as a directory of payloads, which `--payloads` reads back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import SpecError
from harness.generation.bodies import EXTENSIONS
from harness.specs import InferenceTestSample

EXPECTATIONS = "samples.toml"


def write(samples: Sequence[InferenceTestSample], directory: Path) -> None:
    """Write a file for each sample, and samples.toml with what is expected of it.

    Raises SpecError when the directory is there and not empty, or cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise SpecError(f"{directory} is not empty; name a new directory for the samples")
        for sample in samples:
            body = sample.request_body
            data = body.encode() if isinstance(body, str) else body
            (directory / _name(sample)).write_bytes(data)
        (directory / EXPECTATIONS).write_text(_toml(samples), encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{directory} cannot be written: {error.strerror}") from error


def _name(sample: InferenceTestSample) -> str:
    essence = (sample.content_type or "").partition(";")[0]
    return f"{sample.sample_name}.{EXTENSIONS.get(essence, 'bin')}"


def _toml(samples: Sequence[InferenceTestSample]) -> str:
    return "\n".join(_table(sample) for sample in samples)


def _table(sample: InferenceTestSample) -> str:
    lines = [f"[{json.dumps(_name(sample))}]", f"content_type = {json.dumps(sample.content_type)}"]
    if sample.should_succeed is not True:
        lines.append(f"should_succeed = {json.dumps(sample.should_succeed)}")
    if sample.expected_stages:
        lines.append(f"expected_stages = {json.dumps(list(sample.expected_stages))}")
    return "\n".join(lines) + "\n"
