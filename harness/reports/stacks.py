"""What differs between the serving stacks, for the terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.reports.text import harmless, shortened
from harness.stack_results import StackAnswer, StackComparison, StackDifference
from harness.summaries import ResponseSummary


def render(comparison: StackComparison) -> RenderableType:
    """Give a table for each kind of difference, then in a line what each stack says of it all."""
    parts: list[RenderableType] = [
        _table(places, difference) for places, difference in _alike(comparison)
    ]
    requests = len(next(iter(comparison.results.values())).end_to_end_results)
    parts += _consequences(comparison)
    told = f"{len(comparison.differences)} of {requests} requests are answered differently; "
    passed = [stack for stack, result in comparison.results.items() if result.overall_success]
    told += f"passed under {', '.join(passed) or 'no stack'}"
    style = "bold green" if comparison.overall_success else "bold red"
    return Group(*parts, Text(f"\n{told}", style=style))


def _alike(comparison: StackComparison) -> Iterator[tuple[list[str], StackDifference]]:
    """Group the requests whose answers differ in the same way."""
    groups: dict[tuple[object, ...], list[StackDifference]] = {}
    for difference in comparison.differences:
        face = tuple((*answer.stacks, *map(str, _row(answer))) for answer in difference.answers)
        groups.setdefault(face, []).append(difference)
    for group in groups.values():
        yield [_place(difference) for difference in group], group[0]


def _place(difference: StackDifference) -> str:
    return harmless(f"{difference.sample_name}, {difference.accept_type or 'no Accept'}")


def _table(places: list[str], difference: StackDifference) -> Table:
    differing = ", ".join(part.replace("_", " ") for part in difference.parts)
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    title = Text(f"\n{'; '.join(places[:3])}{more}: {differing}")
    table = Table(title=title, title_justify="left")
    for name in ("stacks", "status", "content type", "body", "outcome"):
        table.add_column(name)
    for answer in difference.answers:
        table.add_row(", ".join(answer.stacks), *_row(answer))
    return table


def _row(answer: StackAnswer) -> tuple[Text, ...]:
    response = answer.response
    status = "none" if response.status is None else str(response.status)
    return (
        Text(status, style="green" if (response.status or 500) < 400 else "red"),
        Text(harmless(response.content_type or "-")),
        Text(_body(response)),
        Text(_outcome(answer)),
    )


def _body(response: ResponseSummary) -> str:
    if response.body is None:
        return f"- ({shortened(harmless(response.reason or 'no answer'), 80)})"
    kind = "base64: " if response.body_encoding == "base64" else ""
    return kind + shortened(harmless(" ".join(response.body.split())), 80)


def _outcome(answer: StackAnswer) -> str:
    if answer.error_message is None:
        return answer.outcome.value.replace("_", " ")
    place = f"{answer.failed_function or 'the request'} {answer.outcome.value}"
    return f"{place}: {shortened(harmless(answer.error_message), 100)}"


def _consequences(comparison: StackComparison) -> Iterator[Text]:
    """Say what the endpoints do, where the handler could not be loaded."""
    for stack, result in comparison.results.items():
        for consequence in result.consequences:
            yield Text(f"\n{stack}: not loaded; {harmless(consequence)}", style="yellow")
