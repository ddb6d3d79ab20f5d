"""What lint and a run say of planted faults and correct handlers, and how often it is right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import InferenceHandlerSpec, RuntimeTester
from harness.errors import PackageError
from harness.lint import package as linter
from tests.planted.fault import Planted


@dataclass(frozen=True)
class Judged:
    """The codes that something was given, those that are right, and the errors of its run."""

    name: str
    planted: str | None
    given: frozenset[str]
    right: frozenset[str]
    errors: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether the planted fault was found; there is none in a correct handler."""
        return self.planted in self.given

    @property
    def wrong(self) -> bool:
        """Whether the fault was missed, more was said than is right, or a correct one failed."""
        failed = self.planted is None and bool(self.errors)
        return bool(self.false) or failed or (self.planted is not None and not self.found)

    @property
    def false(self) -> frozenset[str]:
        """The codes that are neither the fault's nor of what follows from it."""
        return self.given - self.right

    def __str__(self) -> str:
        """Say what is wrong with it, or what was given."""
        missed = [] if self.found or self.planted is None else [f"missed {self.planted}"]
        false = [f"false {code}" for code in sorted(self.false)]
        errors = [*self.errors] if self.planted is None else []
        wrong = ", ".join(missed + false + errors)
        return f"{self.name}: {wrong or ' '.join(sorted(self.given)) or '-'}"


def judge_all(packages: Mapping[str, Planted], at_once: int = 2) -> list[Judged]:
    """Judge packages, so many at once; each is deleted when it was judged."""
    with RuntimeTester() as tester, ThreadPoolExecutor(at_once) as threads:

        def one(name: str) -> Judged:
            with tempfile.TemporaryDirectory() as folder:
                return judge(name, packages[name], Path(folder), tester)

        return list(threads.map(one, packages))


def judge(name: str, fault: Planted, folder: Path, tester: RuntimeTester) -> Judged:
    """Write a package into an empty folder, lint it and run it."""
    for path, content in fault.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    spec = spec_of(fault, folder)
    given = {finding.code for finding in linter.lint(spec)}
    errors: list[str] = []
    with suppress(PackageError):  # lint says it by its code
        result = tester.test_inference_handler(spec)
        given |= {seen.code for seen in result.diagnoses}
        errors = result.errors
    return Judged(
        name=name,
        planted=fault.codes[0] if fault.codes else None,
        given=frozenset(given),
        right=frozenset(fault.codes),
        errors=tuple(errors),
    )


def spec_of(fault: Planted, package: Path) -> InferenceHandlerSpec:
    """Give the test of a package with one request, unless its spec has others."""
    given: dict[str, Any] = {
        "handler_name": "planted",
        "packaged_model_path": str(package),
        "test_data_samples": (
            {
                "sample_name": "s",
                "content_type": fault.content_type,
                "request_body": fault.body,
            },
        ),
        "supported_accept_types": [fault.accept],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec.model_validate(given | dict(fault.spec))


def recall(judged: Iterable[Judged]) -> float:
    """Give the share of the planted faults that were found, in percent."""
    faults = [one for one in judged if one.planted]
    return 100 * sum(one.found for one in faults) / len(faults)


def precision(judged: Iterable[Judged]) -> float:
    """Give the share of the given codes that are right, in percent."""
    counts = [(len(one.given), len(one.false)) for one in judged]
    codes, false = (sum(column) for column in zip(*counts, strict=True))
    return 100 * (codes - false) / codes if codes else 100.0
