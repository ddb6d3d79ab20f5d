"""Running a faulty handler, and holding what came out to its row of the table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from harness import (
    FunctionTestResult,
    InferenceHandlerSpec,
    InferenceTestResult,
    InferenceTestSample,
    Limits,
    RuntimeTester,
)
from tests.adversarial import faults
from tests.adversarial.faults import ANSWER, REQUEST, Fault, Verdict
from tests.adversarial.levels import in_force
from tests.conftest import MakePackage


def files(name: str, beside: Mapping[str, str] | None = None) -> dict[str, str | bytes]:
    """Give the package of a faulty handler: its one file, what is beside it, an empty model."""
    code = {"inference.py": (faults.FAULTY / f"{name}.py").read_text(), **(beside or {})}
    return {"model.bin": b""} | {f"code/{path}": text for path, text in code.items()}


def sample(name: str = "row", body: bytes = REQUEST) -> InferenceTestSample:
    return InferenceTestSample(sample_name=name, content_type="text/csv", request_body=body)


def spec_for(package: Path, **fields: Any) -> InferenceHandlerSpec:
    defaults: dict[str, Any] = {
        "handler_name": "faulty",
        "packaged_model_path": str(package),
        "test_data_samples": (sample(),),
        "supported_accept_types": ["application/json"],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec(**(defaults | fields))


def spec_of(fault: Fault, make: MakePackage, *, patience: int = 1) -> InferenceHandlerSpec:
    """Give the spec of a row; `patience` lengthens its timeouts on a machine that is busy."""
    limits = dict(fault.limits)
    for name in ("timeout_seconds", "startup_timeout_seconds"):
        if limits.get(name, math.inf) < 10:
            limits[name] *= patience
    return spec_for(
        make(files(fault.file, fault.beside)),
        environ_vars=dict(fault.environ),
        limits=Limits(**limits),
    )


def run(spec: InferenceHandlerSpec, **options: Any) -> InferenceTestResult:
    with RuntimeTester(**options) as tester:
        return tester.test_inference_handler(spec)


def first_rows(result: InferenceTestResult) -> dict[str, FunctionTestResult]:
    return {
        "model_fn": result.model_fn_result,
        "input_fn": result.input_fn_results[0],
        "predict_fn": result.predict_fn_results[0],
        "output_fn": result.output_fn_results[0],
    }


def log_of(row: FunctionTestResult) -> str:
    return row.log.head + row.log.tail if row.log else ""


def check(fault: Fault, result: InferenceTestResult) -> None:
    """Hold a result to its row: outcome, stage and evidence, the answer, and nothing left."""
    layers = in_force(result)
    fault = fault.under(layers)
    rows = first_rows(result)
    for function, row in rows.items():
        check_row(row, fault.verdict_on(function), fault.where or "")
        for text in fault.log.get(function, ()):
            assert text in log_of(row), (function, text)
    for function, at_least, below in fault.peak_mib:
        assert at_least <= (rows[function].peak_memory_bytes or 0) / 2**20 < below, function
    for pattern in fault.warns:
        assert any(re.search(pattern, text) for text in result.warnings), result.warnings
    check_end_to_end(fault, result)
    check_leftovers("".join(map(log_of, rows.values())), sandboxed="bwrap" in layers)


def check_row(row: FunctionTestResult, expected: Verdict, where: str) -> None:
    if expected.outcome == "skipped":
        assert row.outcome == "skipped"
        assert where in (row.skip_reason or ""), row
        return
    assert (row.outcome, row.phase) == (expected.outcome, expected.phase), row
    assert (row.failure and row.failure.type) == expected.failure, row
    if expected.signal is not None:
        assert row.signal is not None, row
        assert row.signal.name == expected.signal
    if expected.exit_code is not None:
        assert row.exit_code == expected.exit_code, row
    if expected.outcome != "passed":
        assert row.error_message
        assert expected.message in row.error_message


def check_end_to_end(fault: Fault, result: InferenceTestResult) -> None:
    (end,) = result.end_to_end_results
    if fault.where == "model_fn":  # no request is made, and the response says why
        assert (end.outcome, end.response.status == 200) == ("skipped", False)
        assert "model_fn" in (end.skip_reason or "")
    else:
        assert end.failed_function == fault.where
    assert end.success == result.overall_success == (fault.where is None), result.errors
    if fault.where is None:
        assert (end.response.status, end.response.body) == (200, ANSWER)


def check_leftovers(log: str, *, sandboxed: bool = False) -> None:
    """Look at the processes and places that the handler names in its log: none may be there.

    A daemon is nobody's child, so that it does not show in this process's tree. In a sandbox the
    numbers are its own; that it is gone with all that was in it is looked at after every test.
    """
    pids = [] if sandboxed else [int(pid) for pid in re.findall(r"pid=(\d+)", log)]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not [path for path in re.findall(r"path=(.+)", log) if Path(path).exists()]
