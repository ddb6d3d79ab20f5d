"""From what was called to the result: one row a function and sample, one row a request."""

from harness.checks import function_rows, request_rows
from harness.checks.flow import Flow, accept_types, describe
from harness.checks.function_rows import FunctionRows
from harness.checks.live import LiveHandler
from harness.checks.request_rows import RequestRows
from harness.checks.samples import Samples
from harness.checks.variants import Variant
from harness.records import Outcome
from harness.results import EndToEndTestResult, FunctionTestResult, InferenceTestResult
from harness.specs import InferenceHandlerSpec


def assemble(
    spec: InferenceHandlerSpec,
    live: LiveHandler,
    samples: Samples,
    flow: Flow,
    asked: tuple[Variant, ...] = (),
    *,
    elapsed_s: float,
) -> InferenceTestResult:
    """Put together the whole result of one handler; variants never count in its verdict."""
    rows = FunctionRows(spec, live, flow)
    whole = RequestRows(spec, live, flow, rows)
    model = rows.model()
    inputs = [rows.of_sample("input_fn", sample) for sample in samples.chosen]
    predictions = [rows.of_sample("predict_fn", sample) for sample in samples.chosen]
    outputs = [rows.of_request("output_fn", request) for request in flow.requests]
    transforms = rows.transforms()
    ends = [whole.end_to_end(request) for request in flow.requests]
    for sample, reason in samples.left_out:
        inputs.append(function_rows.left_out("input_fn", sample, reason))
        predictions.append(function_rows.left_out("predict_fn", sample, reason))
        outputs += [
            function_rows.left_out("output_fn", sample, reason, accept_type=accept)
            for accept in accept_types(spec, sample)
        ]
        ends += [
            request_rows.left_out(sample, accept, reason) for accept in accept_types(spec, sample)
        ]
    tried = [whole.variant(variant) for variant in asked]
    every = [model, *inputs, *predictions, *outputs, *transforms]
    errors = _nothing_to_test(spec, samples) + _errors(every, ends)
    tested = any(row.success for row in [*every, *ends])
    blocked = any(row.outcome is Outcome.skipped and row.asked for row in [*every, *ends])
    if blocked and not errors:
        errors = _errors(rows.every(), [])  # of stages that ran only for a later one
    return InferenceTestResult(
        handler_name=spec.handler_name,
        step_name=spec.step_name,
        overall_success=tested and not errors and not blocked,
        total_execution_time=elapsed_s,
        model_fn_result=model,
        input_fn_results=inputs,
        predict_fn_results=predictions,
        output_fn_results=outputs,
        transform_fn_results=transforms,
        end_to_end_results=ends,
        compatibility_results=whole.compatibilities(),
        variant_results=tried,
        errors=errors,
        warnings=[*live.warnings, *samples.warnings],
        isolation=live.isolation,
        environment=live.environment,
        memory_curve=live.memory_curve,
        stack=spec.stack,
        consequences=rows.consequences(),
    )


def _nothing_to_test(spec: InferenceHandlerSpec, samples: Samples) -> list[str]:
    """Nothing is not a pass: say what is missing."""
    if not samples.chosen:
        place = spec.data_paths.get("payload_samples", spec.payload_samples_path)
        where = f" at {place}" if place else ""
        if samples.left_out:
            return [f"no samples are left{where}: {_none_asked_for(spec, samples)}"]
        return [f"no samples were found{where}; add payload files or test_data_samples"]
    if not any(accept_types(spec, sample) for sample in samples.chosen):
        return ["there is no accept type to ask for; set supported_accept_types"]
    return []


def _none_asked_for(spec: InferenceHandlerSpec, samples: Samples) -> str:
    """Say of what types the samples are, and that others were asked for."""
    there = sorted({str(sample.content_type) for sample, _ in samples.left_out})
    count = len(samples.left_out)
    found = "1 sample was found" if count == 1 else f"{count} samples were found"
    return (
        f"{found} ({', '.join(there)}), none of type "
        f"{' or '.join(map(str, spec.supported_content_types))}; ask for a type that there is "
        "(supported_content_types, --content-type)"
    )


def _errors(rows: list[FunctionTestResult], ends: list[EndToEndTestResult]) -> list[str]:
    """List every failure once, with the function and the sample."""
    found = []
    for row in rows:
        if not row.success and row.outcome is not Outcome.skipped:
            found.append(f"{_place(row)}: {row.error_message or describe(row)}")
    told = {row.error_message for row in rows if not row.success}
    for end in ends:
        failed = not end.success and end.outcome is not Outcome.skipped
        if failed and end.error_message not in told:
            name = f"{end.sample_name}, {end.accept_type}"
            found.append(f"end_to_end[{name}]: {end.error_message or end.outcome.value}")
    return list(dict.fromkeys(found))


def _place(row: FunctionTestResult) -> str:
    names = [name for name in (row.sample_name, row.accept_type) if name]
    return f"{row.function_name}[{', '.join(names)}]" if names else row.function_name
