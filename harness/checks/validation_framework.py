"""The design's validation of a handler by itself: its signatures, and data from one to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from harness.artifacts.package import Package, open_package
from harness.artifacts.workspace import RunDirectory
from harness.checks import compatibility, signatures
from harness.checks.compatibility import Compatibility
from harness.checks.live import LiveHandler
from harness.checks.open_handler import opened
from harness.checks.signatures import ARGUMENTS, Definition, Problem
from harness.checks.sources import Source, spec_of
from harness.errors import SpecError
from harness.results import FUNCTION_NAMES, FunctionTestResult
from harness.specs import InferenceHandlerSpec
from harness.summaries import ValueSummary

TRANSFORM = "transform_fn"
# What hands on its data: a value that no handler of this tester made is looked at in a worker, too.
HANDS_ON = """\
def model_fn(model_dir): return None
def predict_fn(data, model): return data
"""


class SignatureVerdict(TypedDict):
    """What is to be said of one function's definition."""

    exists: bool
    signature_valid: bool
    issues: list[str]


class InferenceValidationFramework:
    """Judges how a handler's functions are defined, and whether what one gives suits the next."""

    @staticmethod
    def validate_function_signatures(
        handler_module: Source | LiveHandler, *, run: bool = True
    ) -> dict[str, SignatureVerdict]:
        """Say of each of the four functions whether it is there and the server can call it.

        By the rule of the spec's serving stack, which counts parameters and knows no names: from
        the source and, with `run`, from the functions themselves, after an import in a worker.
        transform_fn has an entry where the handler defines it. An issue of a function whose
        signature is valid is a warning. Raises SpecError and its kinds as
        `RuntimeTester.open_handler` does.
        """
        if isinstance(handler_module, LiveHandler):
            return _of_live(handler_module)
        with RunDirectory(None) as directory:
            spec = spec_of(handler_module, directory)
            if run:
                with opened(spec, directory) as live:
                    return _of_live(live)
            return _verdicts(_of_source(open_package(spec, directory)), spec.stack)

    @staticmethod
    def validate_data_compatibility(source_output: Any, dest_input_type: str) -> Compatibility:
        """Say whether a value can be taken for a type: DataFrame, ndarray, tensor, sparse, dict,
        records, list, bytes, str, the name of a class, or an annotation of these.

        `source_output` is the row of a call, whose value is looked at in the worker where it
        stays, or its `output_data`; any other value is sent to a worker. Raises SpecError for a row
        without a value, and for a value that cannot be sent.
        """
        if isinstance(source_output, FunctionTestResult):
            source_output = source_output.output_data
            if source_output is None:
                raise SpecError("source_output: the function did not return, so there is no value")
        if not isinstance(source_output, ValueSummary):
            source_output = _described(source_output)
        return compatibility.judge(source_output, dest_input_type)


def _described(value: Any) -> ValueSummary:
    with RunDirectory(None) as directory:
        file = directory.make("hands-on") / "inference.py"
        file.write_text(HANDS_ON)
        spec = InferenceHandlerSpec(handler_name="hands_on", handler_path=str(file))
        with opened(spec, directory) as live:
            row = live.predict_fn(value, None)
    if row.output_data is None:
        raise SpecError(f"source_output: {row.error_message}")
    return row.output_data


def _of_source(package: Package) -> dict[str, Definition]:
    file = package.handler_file
    with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
        if file is not None and file.suffix == ".py":
            return signatures.of_source(file.read_bytes())
    return {}


def _of_live(live: LiveHandler) -> dict[str, SignatureVerdict]:
    """Take what the source says, and for what is defined the word of the functions themselves."""
    written = _of_source(live.package)
    failed = live.not_loaded("model_fn")
    if failed is not None:
        found = _verdicts(written, live.spec.stack)
        for verdict in found.values():
            verdict["issues"].append(f"the handler cannot be imported: {failed.error_message}")
        return found
    there = live.definitions()
    others = {name: item for name, item in written.items() if name not in ARGUMENTS}
    lines = {name: item.line for name, item in written.items()}
    real = {name: replace(item, line=lines.get(name, 0)) for name, item in there.items()}
    return _verdicts({**others, **real}, live.spec.stack)


def _verdicts(found: Mapping[str, Definition], stack: str) -> dict[str, SignatureVerdict]:
    seen = list(signatures.problems(found, stack))
    names = [*FUNCTION_NAMES, *([TRANSFORM] if TRANSFORM in found else [])]
    return {
        name: _verdict(name, found, [problem for problem in seen if problem.function == name])
        for name in names
    }


def _verdict(
    name: str, found: Mapping[str, Definition], problems: list[Problem]
) -> SignatureVerdict:
    definition = found.get(name)
    issues = [_told(problem, definition) for problem in problems]
    if definition is None:
        stands = TRANSFORM in found and name != "model_fn"
        issues.insert(0, "Function not found" + (f": {TRANSFORM} stands for it" if stands else ""))
    valid = definition is not None and not any(problem.certain for problem in problems)
    return {"exists": definition is not None, "signature_valid": valid, "issues": issues}


def _told(problem: Problem, definition: Definition | None) -> str:
    missing = ARGUMENTS[problem.function][len(definition.positional) :] if definition else ()
    if problem.code == "HP301" and missing and definition and not definition.has_rest:
        return f"Missing required parameters: {', '.join(missing)}; {problem.message}"
    return problem.message
