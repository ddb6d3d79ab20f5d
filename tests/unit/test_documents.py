"""The documents say what the code does, as far as that can be checked: names, examples, paths."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union

import pytest
from pydantic import BaseModel, Field, TypeAdapter

import harness
from harness import batch_results, pipeline_results, records, results, summaries
from worker import protocol

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

MESSAGES = (
    *protocol.REQUESTS,
    *protocol.ORDERS,
    *protocol.REPLIES,
    *protocol.REPORTS,
    *protocol.WARM_ORDERS,
    *protocol.WARM_REPORTS,
)
PARTS = sorted(
    (
        kind
        for kind in vars(protocol).values()
        if isinstance(kind, type)
        and issubclass(kind, protocol.Strict)
        and kind not in (*MESSAGES, protocol.Strict)
    ),
    key=lambda kind: kind.__name__,
)
RECORDS = sorted(
    (
        kind
        for module in (summaries, results, batch_results, pipeline_results)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.model_fields
        and kind.__module__ == module.__name__
    ),
    key=lambda kind: kind.__name__,
)  # fmt: skip

# Numbers of decisions that are built; 17 is of a later subject, 33 has nothing to build.
BUILT = set(range(1, 33))
# Lines of the acceptance table that docs/acceptance.md must answer one by one.
LINES = 273


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(name), re.M | re.S)


def section(name: str, title: str) -> str:
    """Give a document's text from a heading, or a bold word at a line's start, to the next."""
    found = re.search(
        rf"^(?:#+ {re.escape(title)}|\*\*{re.escape(title)}\*\*).*?(?=^#+ |^\*\*|\Z)",
        text_of(name),
        re.M | re.S,
    )
    assert found, f"{name} has no section {title!r}"
    return found[0]


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


# ---------------------------------------------------------------- docs/protocol.md


ANY: TypeAdapter[Any] = TypeAdapter(
    Annotated[Union[MESSAGES], Field(discriminator="type")]  # type: ignore[valid-type] # noqa: UP007
)
EXAMPLES = blocks("docs/protocol.md", "json")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: json.loads(text)["type"])
def test_protocol_example_is_what_the_classes_read(example: str) -> None:
    plain = protocol.plain(ANY.validate_json(example))
    assert contains(plain, json.loads(example))


def contains(whole: Any, part: Any) -> bool:
    """Say whether a part of JSON is in the whole, which may have more fields, of defaults."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], item) for key, item in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_every_message_has_an_example() -> None:
    assert {type(ANY.validate_json(example)) for example in EXAMPLES} == set(MESSAGES)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_protocol_names_every_message_and_its_fields(kind: Any) -> None:
    own = section("docs/protocol.md", f"`{tag_of(kind)}` ({kind.__name__})")
    assert set(protocol.field_names(kind)) <= named(own)


def tag_of(kind: Any) -> str:
    return str(kind.__dataclass_fields__["type"].default)


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.__name__)
def test_protocol_names_every_part_and_its_fields(kind: Any) -> None:
    assert rows_of(section("docs/protocol.md", kind.__name__)) == protocol.field_names(kind)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_protocol_names_no_field_that_is_not_there(kind: Any) -> None:
    rows = rows_of(section("docs/protocol.md", f"`{tag_of(kind)}` ({kind.__name__})"))
    assert set(rows) <= set(protocol.field_names(kind))


def rows_of(text: str) -> list[str]:
    """List the names in the first column of a table."""
    return [
        name
        for cell in re.findall(r"^\| (`[^|]+) \|", text, re.M)
        for name in re.findall(r"`([^`]+)`", cell)
    ]


def test_protocol_states_its_version_and_numbers() -> None:
    text = text_of("docs/protocol.md")
    assert f"Version **{protocol.VERSION}**" in text
    assert f"exit code **{protocol.EXIT_CHANNEL_LOST}**" in text
    for descriptor in (protocol.REQUESTS_FD, protocol.REPLIES_FD, protocol.STACKS_FD):
        assert re.search(rf"\b{descriptor}\b", text), descriptor
    caps = {value for name, value in vars(protocol).items() if name.startswith("MAX_")}
    for cap in {*caps, protocol.LINE_OVERHEAD_BYTES}:
        assert re.search(rf"\b{cap:,}\b", text), cap


# ---------------------------------------------------------------- docs/results.md


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_results_name_every_field(kind: type[BaseModel]) -> None:
    fields = {*kind.model_fields, *kind.model_computed_fields}
    own = section("docs/results.md", kind.__name__)
    assert fields <= named(own), fields - named(own)


def test_results_name_every_outcome_once() -> None:
    table = rows_of(section("docs/results.md", "Outcomes"))
    assert sorted(table) == sorted(outcome.value for outcome in records.Outcome)


def test_results_name_every_summary_key() -> None:
    names = named(section("docs/results.md", "InferenceTestResult"))
    assert set(results.Performance.__annotations__) <= names
    for method in ("success_rates()", "performance_summary()", "error_summary()"):
        assert method in names


@pytest.mark.parametrize("example", blocks("docs/results.md", "json"))
def test_results_example_is_a_record(example: str) -> None:
    given = json.loads(example)
    kinds = {
        "has_main_function": pipeline_results.ScriptTestResult,
        "script_b": pipeline_results.DataCompatibilityResult,
        "function_name": results.FunctionTestResult,
        "failed_function": results.EndToEndTestResult,
        "model_loading_time": results.EndToEndTestResult,
        "compatible": results.CompatibilityTestResult,
    }
    kind = next(kind for name, kind in kinds.items() if name in given)
    dumped = kind.model_validate(given).model_dump(mode="json")
    assert contains(dumped, given)


# ---------------------------------------------------------------- docs/acceptance.md


def acceptance_rows() -> list[tuple[str, str]]:
    return re.findall(r"^\| ([\d, -]+) \|.*\| ([^|]+) \|$", text_of_acceptance(), re.M)


def text_of_acceptance() -> str:
    return text_of("docs/acceptance.md")


def numbers_of(cell: str) -> Iterator[int]:
    for part in cell.split(","):
        first, _, last = part.strip().partition("-")
        yield from range(int(first), int(last or first) + 1)


def test_acceptance_answers_every_line_once() -> None:
    numbers = [number for cell, _ in acceptance_rows() for number in numbers_of(cell)]
    assert numbers == list(range(1, LINES + 1))


def named_tests() -> list[str]:
    documents = text_of_acceptance() + text_of("ARCHITECTURE.md")
    return sorted(set(re.findall(r"tests/[\w/]+\.py::\w+(?:::\w+)?", documents)))


@pytest.mark.parametrize("test", named_tests())
def test_test_that_a_document_names_exists(test: str) -> None:
    path, *names = test.split("::")
    body: list[ast.stmt] = ast.parse(text_of(path)).body
    for name in names:
        found = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        ]
        assert found, f"{path} has no {name}"
        body = found[0].body
    assert names[-1].startswith("test_")


# ---------------------------------------------------------------- docs/decisions


DECISION_FILES = sorted(path for path in DECISIONS.iterdir() if path.suffix == ".md")


@pytest.mark.parametrize("path", DECISION_FILES, ids=lambda path: path.stem)
def test_decision_is_numbered_titled_and_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    number = re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", path.name)
    assert number, path.name
    assert text.startswith(f"# {number[1]} ")
    for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
        assert text.count(part) == 1, part
    assert len(text.splitlines()) <= 60


def test_decisions_have_distinct_numbers() -> None:
    numbers = [path.name[:4] for path in DECISION_FILES]
    assert len(numbers) == len(set(numbers))


def test_every_decision_that_is_built_has_its_page() -> None:
    found = [
        int(number)
        for path in DECISION_FILES
        for line in re.findall(r"^Decisions? ([\d, and]+)\.$", path.read_text("utf-8"), re.M)
        for number in re.findall(r"\d+", line)
    ]
    assert sorted(found) == sorted(BUILT)


# ---------------------------------------------------------------- all documents


ELSEWHERE = re.compile(
    r"(?<![\w.])/(?:work|root|home|opt|mnt|srv|Users)/"  # paths of one machine
    r"|\b(?:[\w-]+\.)*(?:p[y]pi[.]org|p[y]thonhosted[.]org|an[a]conda[.]org|jf[r]og[.]io|gh[c]r[.]io)\b"
    r"|index-url\s*[=:]|\bhttps?://"
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_document_names_no_place_of_one_machine_and_no_registry(path: Path) -> None:
    assert ELSEWHERE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_architecture_names_every_module() -> None:
    names = {name.rpartition("/")[2] for name in named(text_of("ARCHITECTURE.md"))}
    for package in ("harness", "worker"):
        modules = {path.name for path in (ROOT / package).rglob("*.py")} - {"__init__.py"}
        assert modules <= names, modules - names


# ---------------------------------------------------------------- README.md


def test_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) < 150


def test_readme_names_every_outcome() -> None:
    assert {outcome.value for outcome in records.Outcome} <= set(
        rows_of(section("README.md", "Verdicts"))
    )


@pytest.fixture
def readme_files(tmp_path: Path) -> Path:
    """Write the files that the README describes."""
    handler = blocks("README.md", "python")[0]
    files = {"model/code/inference.py": handler}
    told = re.findall(r"`((?:model|payloads)/[\w./]+)`\s+holds\s+`([^`]+)`", text_of("README.md"))
    files |= {name: content + "\n" for name, content in told}
    assert len(files) == 4
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_readme_command_prints_what_the_readme_shows(readme_files: Path) -> None:
    (line,) = (
        line for text in blocks("README.md", "console") for line in text.splitlines()
        if line.startswith("handlerproof run")
    )  # fmt: skip
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, str(ROOT), *line.split()[1:]],
        cwd=readme_files,
        capture_output=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "80"},
        check=False,
    )
    (expected,) = blocks("README.md", "text")
    assert done.returncode == 1, done.stderr.decode()
    assert told_by(done.stdout.decode()) == told_by(expected)


def told_by(report: str) -> list[str]:
    """Give a report's words without its lines, its measures, and what differs by machine."""
    report = re.sub(r"^isolation: .*?(?=^failed)", "", report, flags=re.M | re.S)
    report = re.sub(r"\S*/model/code/", "", report)
    report = re.sub(r"\b[\d.]+ (?:us|ms|s|[KMG]iB)\b", "#", report)
    return re.findall(r"[^\s\u2500-\u257f]+", report)


def test_readme_python_does_what_the_readme_says(
    readme_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(readme_files)
    exec(compile(blocks("README.md", "python")[1], "README.md", "exec"), {})


def test_readme_imports_public_names_only() -> None:
    tree = ast.parse(blocks("README.md", "python")[1])
    used = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom)
            for alias in node.names}  # fmt: skip
    assert used <= set(harness.__all__)
