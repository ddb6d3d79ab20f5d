"""One handler under each serving stack in turn, and the requests that they answer differently."""

from contextlib import nullcontext
from pathlib import Path
from typing import get_args

from harness.checks import handler_test
from harness.checks.kept import Kept, keeping
from harness.checks.ledger import Listener
from harness.environments.tool import Note
from harness.results import EndToEndTestResult, InferenceTestResult
from harness.specs import InferenceHandlerSpec, Stack
from harness.stack_results import Part, StackAnswer, StackComparison, StackDifference

STACKS: tuple[Stack, ...] = get_args(Stack)
TRACEBACK = "\nTraceback (most recent call last)"
Answer = dict[Part, object]


def run(
    spec: InferenceHandlerSpec,
    workspace: Path | None,
    on_row: Listener | None = None,
    on_note: Note = lambda text: None,
    kept: Kept | None = None,
) -> StackComparison:
    """Test a handler under every stack. Raises as `handler_test.run` does."""
    with nullcontext(kept) if kept is not None else keeping(workspace) as shared:
        results = {
            stack: handler_test.run(
                spec.model_copy(update={"stack": stack}), workspace, on_row, on_note, shared
            )
            for stack in STACKS
        }
    return StackComparison(
        handler_name=spec.handler_name,
        overall_success=all(result.overall_success for result in results.values()),
        differences=_differences(results),
        results=results,
    )


def _differences(results: dict[Stack, InferenceTestResult]) -> list[StackDifference]:
    """Compare request by request: the same spec makes the same ones in the same order."""
    rows = zip(*(result.end_to_end_results for result in results.values()), strict=True)
    found = (_difference(dict(zip(results, row, strict=True))) for row in rows)
    return [difference for difference in found if difference is not None]


def _difference(rows: dict[Stack, EndToEndTestResult]) -> StackDifference | None:
    groups: list[tuple[Answer, list[Stack]]] = []
    for stack, row in rows.items():
        answer = _answer(row)
        alike = next((stacks for known, stacks in groups if known == answer), None)
        if alike is None:
            groups.append((answer, [stack]))
        else:
            alike.append(stack)
    if len(groups) == 1:
        return None
    first = groups[0][0]
    row = rows[STACKS[0]]
    return StackDifference(
        sample_name=row.sample_name,
        accept_type=row.accept_type,
        parts=[part for part in first if any(answer[part] != first[part] for answer, _ in groups)],
        answers=[_told(rows[stacks[0]], stacks) for _, stacks in groups],
    )


def _answer(row: EndToEndTestResult) -> Answer:
    """Give what is compared: of an error's body only what is above the traceback.

    The traceback names places of one run.
    """
    response = row.response
    return {
        "outcome": row.outcome,
        "status": response.status,
        "content_type": response.content_type,
        "body": response.body and response.body.partition(TRACEBACK)[0],
    }


def _told(row: EndToEndTestResult, stacks: list[Stack]) -> StackAnswer:
    return StackAnswer(
        stacks=stacks,
        outcome=row.outcome,
        failed_function=row.failed_function,
        error_message=row.error_message,
        response=row.response,
    )
