"""Errors that are answered with status 200: told by code, and with `strict` failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.cli import main
from tests.conftest import MakePackage
from tests.handlers.good import packages
from tests.integration.test_good_handlers import SAMPLES
from tests.planted.answers import BODIES
from tests.planted.fault import GOOD, SKLEARN, returning, with_
from tests.planted.run_faults import FAULTS

RESPONSE = (
    "class Response:\n"
    "    def __init__(self, body, status): self.status = status\n"
    "    def __repr__(self): return '<Response [%d]>' % self.status\n"
)
OBJECTS: dict[str, tuple[str, dict[str, Any], tuple[str, ...], str]] = {
    "from input_fn": (
        RESPONSE
        + with_('    return [float(cell) for cell in body.split(",")]',
                "    return Response('unsupported', 415)",
                with_("[cell * model for cell in data]", "data", returning("'[1]'"))),
        {}, ("HP621",), "input_fn returned a Response (<Response [415]>), which goes on as data"),
    "from output_fn": (
        RESPONSE + returning("Response('bad', 400)"), {}, ("HP621",),
        "output_fn returned a Response (<Response [400]>), of which the server knows nothing"),
}  # fmt: skip


def result_of(package: Path, **fields: Any) -> InferenceTestResult:
    sample = InferenceTestSample(sample_name="s", content_type="text/csv", request_body="1,2,3")
    given = {
        "handler_name": "h",
        "packaged_model_path": str(package),
        "test_data_samples": (sample,),
        "supported_accept_types": ["application/json"],
    }
    with RuntimeTester() as tester:
        return tester.test_inference_handler(InferenceHandlerSpec.model_validate(given | fields))


def codes(result: InferenceTestResult) -> tuple[str, ...]:
    return tuple(seen.code for seen in result.diagnoses)


@pytest.mark.parametrize("name", BODIES)
def test_body_is_told_and_fails_when_strict(package: MakePackage, name: str) -> None:
    expression, expected = BODIES[name]
    place = package({"code/inference.py": returning(expression)})
    result = result_of(place, strict=True)
    assert codes(result) == expected
    assert result.overall_success is not bool(expected)
    (end,) = result.end_to_end_results
    assert end.response.status == 200
    assert end.success is not bool(expected)
    for code in expected:
        assert code in (end.error_message or "")
        assert f"end_to_end[s, application/json]: {end.error_message}" in result.errors


@pytest.mark.parametrize("expression", ["""'{"error": "x"}'""", "''", "'[NaN]'"])
def test_without_strict_it_is_a_warning(package: MakePackage, expression: str) -> None:
    result = result_of(package({"code/inference.py": returning(expression)}))
    assert result.overall_success
    assert len(result.diagnoses) == 1


@pytest.mark.parametrize("name", OBJECTS)
def test_response_objects_are_told(package: MakePackage, name: str) -> None:
    code, fields, expected, words = OBJECTS[name]
    result = result_of(package({"code/inference.py": code}), **fields)
    assert codes(result) == expected
    assert result.diagnoses[0].message == words
    if result.overall_success:
        assert not result_of(package({"code/inference.py": code}), strict=True).overall_success


@pytest.mark.parametrize(
    "name", ["JSON where CSV was asked", "a list of types", "a bare text on Flask"]
)
def test_another_type_than_was_asked_for_fails_when_strict(package: MakePackage, name: str) -> None:
    fault = FAULTS[name]
    place = package(fault.files)
    result = result_of(place, supported_accept_types=[fault.accept], strict=True, **fault.spec)
    assert codes(result) == tuple(sorted(fault.codes))
    assert not result.overall_success


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "sklearn"])
def test_good_handlers_pass_when_strict(package: MakePackage, name: str) -> None:
    result = result_of(
        package(packages.files(name)),
        test_data_samples=SAMPLES[name],
        strict=True,
        suspect=("constant_predictions", "scored_header"),
        supported_accept_types=["application/json", "text/csv"],
    )
    assert result.overall_success, result.errors


# ---------------------------------------------------------------- what may be wrong


def samples(*bodies: str) -> tuple[InferenceTestSample, ...]:
    return tuple(
        InferenceTestSample(sample_name=f"s{number}", content_type="text/csv", request_body=body)
        for number, body in enumerate(bodies)
    )


@pytest.mark.parametrize(
    ("expression", "bodies", "found"),
    [
        ("'[7.0]'", ("1", "2"), True),
        ("'[7.0]'", ("1", "1"), False),
        ("json.dumps(prediction)", ("1", "2"), False),
    ],
)
def test_constant_predictions_are_looked_for_where_asked(
    package: MakePackage, expression: str, bodies: tuple[str, ...], found: bool
) -> None:
    place = package({"code/inference.py": returning(expression)})
    given = {"test_data_samples": samples(*bodies), "strict": True}
    assert codes(result_of(place, **given)) == ()
    result = result_of(place, **given, suspect=("constant_predictions",))
    assert codes(result) == (("HP624",) if found else ())
    assert result.overall_success is not found
    assert all(end.success is not found for end in result.end_to_end_results)


HEADERLESS = with_(
    '    return [float(cell) for cell in body.split(",")]',
    "    return [len(line) for line in body.splitlines()]",
)


@pytest.mark.parametrize(
    ("code", "body", "found"),
    [
        (HEADERLESS, "age,sum\n1,2\n3,4\n", True),
        (HEADERLESS, "1,2\n3,4\n", False),
        (HEADERLESS, "red,blue\ngreen,red\n", False),
        (HEADERLESS.replace("splitlines()", "splitlines()[1:]"), "age,sum\n1,2\n3,4\n", False),
    ],
)
def test_header_that_is_scored_is_looked_for_where_asked(
    package: MakePackage, code: str, body: str, found: bool
) -> None:
    place = package({"code/inference.py": code})
    given = {"test_data_samples": samples(body)}
    assert codes(result_of(place, **given)) == ()
    result = result_of(place, **given, suspect=("scored_header",))
    assert codes(result) == (("HP625",) if found else ())
    if found:
        assert "3 predictions for 2 rows and a header" in result.diagnoses[0].message


def test_command_has_both(package: MakePackage, tmp_path: Path) -> None:
    place = package({"code/inference.py": returning("'[7.0]'")})
    payloads = tmp_path / "payloads"
    payloads.mkdir()
    for name in ("1", "2"):
        (payloads / f"{name}.csv").write_text(name)
    command = ["run", str(place), "--payloads", str(payloads), "--accept", "application/json"]
    runner = CliRunner()
    assert runner.invoke(main, command).exit_code == 0
    strict = runner.invoke(main, [*command, "--strict", "--suspect", "constant_predictions"])
    assert strict.exit_code == 1
    assert "HP624 different requests have one answer" in strict.output


def test_what_is_no_answer_is_not_looked_at(package: MakePackage) -> None:
    """A sample that should be refused, and is answered, fails for that alone."""
    place = package({"code/inference.py": GOOD})
    (sample,) = samples("1,2")
    refused = sample.model_copy(update={"should_succeed": False})
    result = result_of(place, test_data_samples=(refused,), strict=True, **SKLEARN)
    assert "should have been refused" in result.errors[0]
