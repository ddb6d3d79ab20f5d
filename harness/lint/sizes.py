"""Sizes against what the platform takes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.lint.finding import Finding, Subject

_SERVERLESS_BYTES = (
    10 << 30
)  # image and model together; SageMaker's quotas for serverless endpoints
_LARGE_BYTES = 2 << 30
_MANY_FILES = 10_000


def rule(subject: Subject) -> Iterator[Finding]:
    """Tell of packages that load slowly or fit no serverless endpoint."""
    total = sum(file.stat().st_size for file in subject.files)
    if total > _SERVERLESS_BYTES:
        told = f"{total / 2**30:.1f} GiB unpacked do not fit a serverless endpoint (10 GiB)"
        yield Finding("HP807", "warning", told)
    elif total > _LARGE_BYTES:
        told = f"{total / 2**30:.1f} GiB unpacked take long to download before the first answer"
        yield Finding("HP807", "note", told)
    if len(subject.files) > _MANY_FILES:
        told = f"{len(subject.files)} files take long to unpack; pack what belongs together"
        yield Finding("HP808", "note", told)
