from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from harness.errors import SpecError
from harness.spec_environment import (
    PythonEnvironment,
    RequirementsEnvironment,
    VenvEnvironment,
)
from harness.spec_model import SpecModel
from harness.specs import (
    FieldTolerance,
    InferenceHandlerSpec,
    InferenceTestSample,
    Limits,
    RuntimeTestingConfiguration,
    parse_memory,
)


def spec(**fields: Any) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(**({"handler_name": "h", "handler_path": "inference.py"} | fields))


def sample(**fields: Any) -> InferenceTestSample:
    given: dict[str, Any] = {"sample_name": "s", "content_type": "text/csv", "request_body": "1,2"}
    return InferenceTestSample(**(given | fields))


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        make()
    return str(caught.value)


# ---------------------------------------------------------------- the handler spec


def test_defaults_are_those_of_the_design() -> None:
    """Acceptance 16, 21-25, 27-33."""
    made = spec()
    assert (made.model_paths, made.code_paths, made.data_paths) == ({}, {}, {})
    assert made.supported_content_types == ["application/json", "text/csv"]
    assert made.supported_accept_types == ["application/json", "text/csv"]
    assert made.environ_vars == {}
    assert made.timeout_seconds == 300
    assert made.validate_model_loading is True
    assert made.validate_input_processing is True
    assert made.validate_prediction is True
    assert made.validate_output_formatting is True
    assert made.validate_end_to_end is True
    assert (made.stack, made.environment, made.sys_path) == ("toolkit", "inherit", ())
    assert made.test_data_samples == ()


def test_create_default_takes_the_four_arguments_in_order(tmp_path: Path) -> None:
    """Acceptance 17-20, 35."""
    made = InferenceHandlerSpec.create_default("h", "node", tmp_path / "model.tar.gz", "payloads/")
    assert (made.handler_name, made.step_name) == ("h", "node")
    assert made.packaged_model_path == str(tmp_path / "model.tar.gz")
    assert made.payload_samples_path == "payloads/"
    assert made == InferenceHandlerSpec.create_default(
        handler_name="h",
        step_name="node",
        packaged_model_path=str(tmp_path / "model.tar.gz"),
        payload_samples_path="payloads/",
    )


def test_a_handler_file_with_its_model_and_samples_is_a_spec() -> None:
    """Acceptance 26, 36."""
    made = spec(
        model_dir="models/x",
        test_data_samples=[sample()],
        supported_content_types=["application/json", "text/csv", "application/x-parquet"],
        timeout_seconds=60,
    )
    assert made.model_dir == "models/x"
    assert made.test_data_samples == (sample(),)
    assert made.supported_content_types[2] == "application/x-parquet"


def test_a_handler_file_without_samples_is_a_spec() -> None:
    """Acceptance 37."""
    assert spec(model_dir="models/x").test_data_samples == ()


def test_step_name_is_the_handler_name_unless_given() -> None:
    """Acceptance 18."""
    assert spec(handler_name="churn").step_name == "churn"
    assert spec(handler_name="churn", step_name="Serve").step_name == "Serve"


@pytest.mark.parametrize(
    "kind",
    [
        InferenceHandlerSpec,
        InferenceTestSample,
        Limits,
        PythonEnvironment,
        RequirementsEnvironment,
        RuntimeTestingConfiguration,
        VenvEnvironment,
    ],
)
def test_every_field_is_described(kind: type[BaseModel]) -> None:
    """Acceptance 34."""
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_the_json_schema_can_be_generated() -> None:
    """Acceptance 38."""
    assert "handler_name" in InferenceHandlerSpec.model_json_schema()["required"]


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().handler_name = "other"  # type: ignore[misc]


def test_two_specs_share_no_default() -> None:
    first, second = spec(), spec()
    first.supported_accept_types.append("text/plain")
    first.environ_vars["A"] = "1"
    assert second == spec()


def test_a_spec_without_code_is_refused() -> None:
    said = refusal(lambda: InferenceHandlerSpec(handler_name="h"))
    assert "set packaged_model_path or handler_path" in said


def test_a_spec_with_two_sources_of_code_is_refused() -> None:
    said = refusal(lambda: spec(packaged_model_path="model.tar.gz"))
    assert "keep packaged_model_path or handler_path" in said


def test_a_model_dir_beside_a_package_is_refused() -> None:
    said = refusal(
        lambda: InferenceHandlerSpec(handler_name="h", packaged_model_path="m", model_dir="d")
    )
    assert "model_dir goes with handler_path" in said


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"handler_name": " "}, "handler_name: must not be blank"),
        ({"handler_name": "a\nb"}, "handler_name: must not contain control characters"),
        ({"handler_name": 3}, "handler_name: must be a valid string, got 3"),
        ({"handler_name": "a\udce9"}, "handler_name: must be valid Unicode"),
        ({"handler_path": ""}, "handler_path: must be a path"),
        ({"handler_path": "a\0b"}, "handler_path: must be a path"),
        ({"sys_path": ["lib", ""]}, "sys_path.1: must be a path"),
        ({"timeout_seconds": 0}, "timeout_seconds: must be greater than 0, got 0"),
        ({"timeout_seconds": -1}, "timeout_seconds: must be greater than 0, got -1"),
        ({"timeout_seconds": math.nan}, "timeout_seconds: must be a finite number, got nan"),
        ({"timeout_seconds": math.inf}, "timeout_seconds: must be a finite number, got inf"),
        ({"timeout_seconds": 1e300}, "timeout_seconds: must be less than or equal to 1000000"),
        ({"timeout_seconds": "60"}, "timeout_seconds: must be a valid number, got '60'"),
        ({"timeout_seconds": True}, "timeout_seconds: must be a valid number, got True"),
        ({"limits": {"timeout_seconds": 0}}, "limits.timeout_seconds: must be greater than 0"),
        ({"limits": {"memory_limit_mb": 0}}, "limits.memory_limit_mb: must be greater than 0"),
        (
            {"limits": {"max_proceses": 1}},
            "limits: unknown name 'max_proceses', did you mean 'max_pr",
        ),
        ({"validate_prediction": "no"}, "validate_prediction: must be a valid boolean, got 'no'"),
        ({"stack": "tensorflow"}, "stack: must be 'toolkit'"),
        ({"environment": "conda"}, 'environment: must be "inherit", {"python"'),
        ({"environment": {"pyhton": "x"}}, 'environment: must be "inherit", {"python"'),
        ({"environment": {"python": ""}}, "environment: PythonEnvironment: python: must be a path"),
        ({"environ_vars": {"": "1"}}, "environ_vars: '' cannot name a variable"),
        ({"environ_vars": {"A=B": "1"}}, "environ_vars: 'A=B' cannot name a variable"),
        ({"environ_vars": {"A\0": "1"}}, "environ_vars: 'A\\x00' cannot name a variable"),
        ({"environ_vars": {"A": "\0"}}, "environ_vars: the value of 'A' must not contain a NUL"),
        ({"environ_vars": {"A": "\udce9"}}, "environ_vars: must be valid Unicode text"),
        ({"environ_vars": {"A": 1}}, "environ_vars.A: must be a valid string, got 1"),
        ({"supported_content_types": [""]}, "supported_content_types.0: must not be blank"),
        (
            {"supported_accept_types": ["a/b\r\n"]},
            "supported_accept_types.0: must not contain contr",
        ),
        ({"supported_accept_types": ["a/b", "a/b"]}, "supported_accept_types: 'a/b' is there more"),
        (
            {"model_paths": {"handler_file": "x"}},
            "model_paths: 'handler_file' belongs in code_paths",
        ),
        ({"code_paths": {"extraction_root": "x"}}, "'extraction_root' belongs in model_paths"),
        ({"data_paths": {"payload_sample": "x"}}, "did you mean 'payload_samples'?"),
        ({"code_paths": {"zzz": "x"}}, "known are inference_code_dir, handler_file"),
        ({"test_data_samples": [sample(), sample()]}, "more than one sample is named 's'"),
        (
            {"test_data_samples": [{"sample_name": "s"}]},
            "test_data_samples.0.content_type: is requi",
        ),
        ({"timout_seconds": 3}, "unknown name 'timout_seconds', did you mean 'timeout_seconds'?"),
        ({"zzzzzz": 3}, "unknown name 'zzzzzz', known are handler_name, step_name"),
    ],
)
def test_a_mistake_is_named_with_its_field(fields: dict[str, Any], expected: str) -> None:
    assert expected in refusal(lambda: spec(**fields))


def test_every_problem_gets_one_line_and_no_noise() -> None:
    said = refusal(lambda: InferenceHandlerSpec(timeout_seconds=0, limits={"max_processes": 0}))
    assert said.splitlines() == [
        "InferenceHandlerSpec has 3 problems:",
        "- handler_name: is required",
        "- timeout_seconds: must be greater than 0, got 0",
        "- limits.max_processes: must be greater than 0, got 0",
    ]


def test_a_long_wrong_value_is_cut() -> None:
    assert len(refusal(lambda: spec(timeout_seconds="9" * 10_000))) < 200


def test_a_secret_is_not_quoted() -> None:
    assert "hunter2" not in refusal(lambda: spec(environ_vars={"KEY": "hunter2\0"}))


BAD = {"handler_name": "h", "handler_path": "x.py", "limits": {"timeout_seconds": 0}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: InferenceHandlerSpec(**BAD),
        lambda: InferenceHandlerSpec.model_validate(BAD),
        lambda: InferenceHandlerSpec.model_validate_json(json.dumps(BAD)),
        lambda: spec().model_copy(update={"limits": {"timeout_seconds": 0}}),
    ],
    ids=["constructor", "model_validate", "model_validate_json", "model_copy"],
)
def test_every_way_in_refuses_alike(make: Callable[[], object]) -> None:
    """Acceptance 38."""
    assert refusal(make) == (
        "InferenceHandlerSpec: limits.timeout_seconds: must be greater than 0, got 0"
    )


def test_a_spec_inside_another_kind_of_model_keeps_its_path() -> None:
    class Pipeline(SpecModel):
        handlers: dict[str, InferenceHandlerSpec]

    assert refusal(lambda: Pipeline(handlers={"a": BAD})) == (  # type: ignore[dict-item]
        "Pipeline: handlers.a.limits.timeout_seconds: must be greater than 0, got 0"
    )


def test_the_error_shows_nothing_of_the_validator() -> None:
    with pytest.raises(SpecError) as caught:
        spec(timeout_seconds=0)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "pydantic" not in str(caught.value)


def test_path_objects_are_kept_as_text(tmp_path: Path) -> None:
    made = spec(
        handler_path=tmp_path / "a.py",
        sys_path=[tmp_path],
        data_paths={"payload_samples": tmp_path},
    )
    assert made.handler_path == str(tmp_path / "a.py")
    assert made.sys_path == (str(tmp_path),)
    assert made.data_paths == {"payload_samples": str(tmp_path)}


def test_none_among_media_types_is_a_request_without_the_header() -> None:
    made = spec(supported_accept_types=[None, "text/csv"], supported_content_types=[None])
    assert made.supported_accept_types == [None, "text/csv"]
    assert made.supported_content_types == [None]


def test_no_accept_type_at_all_can_be_said() -> None:
    """Acceptance 259."""
    assert spec(supported_accept_types=[]).supported_accept_types == []


def test_a_copy_keeps_what_was_chosen_and_is_validated() -> None:
    made = spec(stack="toolkit").model_copy(update={"timeout_seconds": 5})
    assert (made.timeout_seconds, made.stack_chosen, made.content_types_chosen) == (5, True, False)
    assert spec().model_copy() == spec()


# ---------------------------------------------------------------- set or left at default


@pytest.mark.parametrize(
    ("fields", "types_chosen", "stack_chosen"),
    [
        ({}, False, False),
        ({"supported_content_types": ["application/json", "text/csv"]}, True, False),
        ({"stack": "toolkit"}, False, True),
    ],
)
def test_a_default_that_was_chosen_is_told_apart_even_after_a_round_trip(
    fields: dict[str, Any], types_chosen: bool, stack_chosen: bool, tmp_path: Path
) -> None:
    made = spec(**fields)
    made.save(tmp_path / "spec.json")
    copies = [
        made,
        InferenceHandlerSpec.load(tmp_path / "spec.json"),
        InferenceHandlerSpec.model_validate(made.model_dump()),
        InferenceHandlerSpec.model_validate_json(made.model_dump_json()),
    ]
    for copy in copies:
        assert (copy.content_types_chosen, copy.stack_chosen) == (types_chosen, stack_chosen)
        assert copy.supported_content_types == ["application/json", "text/csv"]


def test_a_dump_has_every_other_field() -> None:
    """Acceptance 38."""
    left_out = set(InferenceHandlerSpec.model_fields) - set(spec().model_dump())
    assert left_out == {"supported_content_types", "stack"}


# ---------------------------------------------------------------- samples


def test_a_sample_expects_success_by_default() -> None:
    """Acceptance 41-46."""
    made = sample()
    assert (made.sample_name, made.content_type, made.request_body) == ("s", "text/csv", "1,2")
    assert made.should_succeed is True
    assert made.error_message_pattern is None
    assert made.expected_output_structure is None
    assert not made.expects_an_answer


@pytest.mark.parametrize("field", ["expected_output_structure", "response_schema", "expected_body"])
def test_a_sample_knows_that_an_answer_is_expected(field: str) -> None:
    assert sample(**{field: {}}).expects_an_answer


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sample_name": ""}, "sample_name: must not be blank"),
        ({"content_type": ""}, "content_type: must not be blank"),
        ({"request_body": {"a": 1}}, "request_body: must be str, bytes"),
        ({"request_body": None}, "request_body: must be str, bytes"),
        ({"request_body": "\ud800"}, "request_body: must be valid Unicode"),
        ({"request_body": {"base64": "!"}}, "request_body: base64 cannot be decoded"),
        ({"request_body": {"base64": 7}}, "request_body: base64 must be a string"),
        ({"error_message_pattern": "("}, "error_message_pattern: '(' is not a regular expression"),
        ({"error_message_pattern": "a{99999999999}"}, "is not a regular expression"),
        ({"expected_output_structure": math.nan}, "expected_output_structure: must be JSON"),
        ({"expected_body": {"a": [math.inf]}}, "expected_body: must be JSON"),
        ({"expected_body": "\udce9"}, "expected_body: must be JSON"),
        ({"tolerance": -1.0}, "tolerance: must be greater than or equal to 0"),
        ({"tolerance": math.nan}, "tolerance: must be a finite number"),
        ({"accept_types": ["a/b", "a/b"]}, "accept_types: 'a/b' is there more than once"),
        ({"request_boddy": ""}, "did you mean 'request_body'?"),
    ],
)
def test_a_mistake_in_a_sample_is_named(fields: dict[str, Any], expected: str) -> None:
    said = refusal(lambda: sample(**fields))
    assert said.startswith("InferenceTestSample: ")
    assert expected in said


def test_a_body_is_kept_byte_for_byte() -> None:
    """Acceptance 43, 260."""
    assert sample(request_body="  1\r\n\n").request_body == "  1\r\n\n"
    assert sample(request_body=b"\x00\xff\n").request_body == b"\x00\xff\n"
    assert sample(request_body=bytearray(b"\xff")).request_body == b"\xff"


def test_bytes_have_a_form_of_their_own_in_json() -> None:
    assert json.loads(sample(request_body=b"\xff").model_dump_json())["request_body"] == {
        "base64": "/w=="
    }
    assert json.loads(sample(request_body="/w==").model_dump_json())["request_body"] == "/w=="


# ---------------------------------------------------------------- limits


def test_limits_default_to_those_decided() -> None:
    limits = Limits()
    assert (limits.timeout_seconds, limits.startup_timeout_seconds) == (None, None)
    assert (limits.memory_limit_mb, limits.max_file_bytes) == (None, None)
    assert limits.max_processes == 512
    assert limits.max_output_bytes == 10 * 1024 * 1024
    assert limits.max_response_bytes == 128 * 1024 * 1024


def test_only_the_timeouts_that_are_none_are_filled() -> None:
    """Acceptance 28."""
    limits = Limits(startup_timeout_seconds=9, memory_limit_mb=7).filled(60)
    assert limits == Limits(timeout_seconds=60, startup_timeout_seconds=9, memory_limit_mb=7)
    assert limits.filled(1) == limits


def test_effective_limits_come_from_the_timeout_of_the_spec() -> None:
    made = spec(timeout_seconds=60, limits={"timeout_seconds": 0.5})
    assert made.effective_limits == Limits(timeout_seconds=0.5, startup_timeout_seconds=60)


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512M", 512),
        ("512MB", 512),
        ("512 MiB", 512),
        ("2G", 2048),
        ("1.5g", 1536),
        ("1T", 2**20),
        ("1024", 1024),
        ("2048k", 2),
        ("1K", 1),
        (" 7 ", 7),
    ],
)
def test_memory_is_read_as_mebibytes(text: str, mib: int) -> None:
    assert parse_memory(text) == mib


@pytest.mark.parametrize("text", ["lots", "", "-1M", "1e9", "nan", "1P", "5B", "٣M", "1 M M"])
def test_no_amount_of_memory_is_refused_with_an_example(text: str) -> None:
    assert refusal(lambda: parse_memory(text)) == (
        f"{text!r} is not an amount of memory; write for example 512M or 2G."
    )


@pytest.mark.parametrize("text", ["0", "0.0G", "999999999999999T"])
def test_memory_out_of_range_is_refused(text: str) -> None:
    assert "out of range" in refusal(lambda: parse_memory(text))


# ---------------------------------------------------------------- the tester's configuration


def test_the_configuration_defaults_to_the_design() -> None:
    """Acceptance 83-85."""
    made = RuntimeTestingConfiguration()
    assert made.workspace_dir is None
    assert made.enable_inference_testing is True
    assert made.enable_logical_matching is True
    assert made.semantic_threshold == 0.7


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, "0.7"])
def test_a_threshold_is_between_0_and_1(threshold: Any) -> None:
    said = refusal(lambda: RuntimeTestingConfiguration(semantic_threshold=threshold))
    assert said.startswith("RuntimeTestingConfiguration: semantic_threshold: must be ")


# ---------------------------------------------------------------- files


def test_a_saved_spec_is_loaded_unchanged(tmp_path: Path) -> None:
    """Acceptance 39."""
    made = spec(test_data_samples=[sample(request_body=b"\xff"), sample(sample_name="é")])
    made.save(tmp_path / "spec.json")
    assert InferenceHandlerSpec.load(tmp_path / "spec.json") == made
    assert InferenceHandlerSpec.load(str(tmp_path / "spec.json")) == made


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refusal(lambda: InferenceHandlerSpec.load(tmp_path / "no.json"))
    assert said == f"Cannot read the spec {tmp_path / 'no.json'}: No such file or directory."


def test_a_directory_is_not_a_spec(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(lambda: InferenceHandlerSpec.load(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"handler_name": "h"}'])
def test_a_file_that_is_not_a_spec_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    said = refusal(lambda: InferenceHandlerSpec.load(path))
    assert said.startswith(f"InferenceHandlerSpec in {path}: ")
    assert len(said) < len(str(path)) + 200


# ---------------------------------------------------------------- validate_configuration


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    path = tmp_path / "inference.py"
    path.write_text("")
    return path


def test_a_spec_that_fits_the_disk_has_no_issue(handler: Path, tmp_path: Path) -> None:
    """Acceptance 39."""
    made = spec(handler_path=handler, model_dir=tmp_path, payload_samples_path=tmp_path)
    assert made.validate_configuration() == []
    assert made.is_valid()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"handler_path": "/no/a.py"}, "handler_path: there is no file at /no/a.py"),
        ({"handler_path": "/"}, "handler_path: there is no file at /"),
        ({"model_dir": "/no"}, "model_dir: there is no directory at /no"),
        ({"payload_samples_path": "/no"}, "payload_samples_path: there is no file or directory"),
        ({"sys_path": ["/no"]}, "sys_path: there is no file or directory at /no"),
        ({"code_paths": {"handler_file": "/no"}}, "code_paths['handler_file']: there is no"),
        ({"environment": {"python": "/no"}}, "environment: there is no program at /no"),
        ({"environment": {"python": "/"}}, "environment: there is no program at /"),
        ({"test_data_samples": []}, "no samples; set payload_samples_path or test_data_samples"),
        ({"supported_accept_types": []}, "supported_accept_types is empty"),
        ({"supported_content_types": []}, "supported_content_types is empty"),
        ({"supported_content_types": ["a/b"]}, "sample 's': would be skipped, 'text/csv' is not"),
        (
            {"test_data_samples": [sample(error_message_pattern="x")]},
            "sample 's': error_message_pattern is of no effect",
        ),
        (
            {"test_data_samples": [sample(should_succeed=False, expected_body=1)]},
            "sample 's': an expected answer is of no effect",
        ),
        ({"test_data_samples": [sample(accept_types=[])]}, "sample 's': accept_types is empty"),
        (
            {
                "validate_model_loading": False,
                "validate_input_processing": False,
                "validate_prediction": False,
                "validate_output_formatting": False,
                "validate_end_to_end": False,
            },
            "every validate flag is off",
        ),
    ],
)
def test_an_issue_is_found(handler: Path, fields: dict[str, Any], expected: str) -> None:
    """Acceptance 39, 259."""
    made = spec(**({"handler_path": handler, "test_data_samples": [sample()]} | fields))
    issues = made.validate_configuration()
    assert any(issue.startswith(expected) for issue in issues), issues
    assert not made.is_valid()


def test_a_file_that_cannot_be_run_is_no_interpreter(handler: Path) -> None:
    made = spec(
        handler_path=handler,
        test_data_samples=[sample()],
        environment={"python": handler},
    )
    assert made.validate_configuration() == [f"environment: there is no program at {handler}"]


def test_a_package_that_is_not_there_is_an_issue(tmp_path: Path) -> None:
    made = InferenceHandlerSpec.create_default("h", "h", tmp_path / "model.tar.gz", tmp_path)
    assert len(made.validate_configuration()) == 2


def test_a_directory_of_samples_without_a_file_is_an_issue(handler: Path, tmp_path: Path) -> None:
    (tmp_path / "payloads" / "csv_samples").mkdir(parents=True)
    made = spec(handler_path=handler, payload_samples_path=tmp_path / "payloads")
    assert made.validate_configuration() == [
        f"no samples; the directory {tmp_path / 'payloads'} has no file"
    ]


def test_an_override_can_bring_the_samples(handler: Path, tmp_path: Path) -> None:
    made = spec(handler_path=handler, data_paths={"payload_samples": tmp_path})
    assert made.is_valid()


def test_a_relative_override_is_not_looked_for_outside_the_package(handler: Path) -> None:
    made = spec(
        handler_path=handler,
        test_data_samples=[sample()],
        code_paths={"inference_code_dir": "src"},
    )
    assert made.is_valid()


# ---------------------------------------------------------------- round trips

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    str.strip
)
free_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | free_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(free_texts, inner, max_size=3),
    max_leaves=8,
)
seconds = st.floats(min_value=0, max_value=1e6, exclude_min=True)
counts = st.integers(min_value=1, max_value=2**22)
media_lists = st.lists(st.none() | texts, unique=True, max_size=3)
samples = st.builds(
    InferenceTestSample,
    sample_name=texts,
    content_type=st.none() | texts,
    request_body=free_texts | st.binary(max_size=40),
    should_succeed=st.booleans(),
    error_message_pattern=st.none() | st.just(r".*JSON\d+"),
    expected_output_structure=json_data,
    response_schema=st.none() | st.dictionaries(free_texts, json_data, max_size=2),
    accept_types=st.none() | media_lists.map(tuple),
    expected_body=json_data,
    tolerance=st.floats(min_value=0, allow_infinity=False),
    tolerances=st.dictionaries(
        texts, st.builds(FieldTolerance, absolute=seconds, relative=seconds), max_size=2
    ),
    same_row_count=st.booleans(),
    deterministic=st.booleans(),
    max_seconds=st.none() | seconds,
    max_memory_mb=st.none() | counts,
)
limit_values = st.builds(
    Limits,
    timeout_seconds=st.none() | seconds,
    startup_timeout_seconds=st.none() | seconds,
    memory_limit_mb=st.none() | counts,
    max_processes=counts,
    max_output_bytes=counts,
    max_response_bytes=counts,
    max_file_bytes=st.none() | counts,
)
variable_names = texts.filter(lambda name: "=" not in name)
variables = st.dictionaries(variable_names, free_texts.map(lambda text: text.replace("\0", "")))
optional_fields = st.fixed_dictionaries(
    {},
    optional={
        "step_name": texts,
        "payload_samples_path": texts,
        "test_data_samples": st.lists(samples, max_size=3, unique_by=lambda s: s.sample_name),
        "entry_point": texts,
        "stack": st.just("toolkit"),
        "data_paths": st.fixed_dictionaries({"payload_samples": texts}),
        "supported_content_types": media_lists,
        "supported_accept_types": media_lists,
        "environ_vars": variables,
        "timeout_seconds": seconds,
        "limits": limit_values,
        "environment": st.just("inherit")
        | st.builds(PythonEnvironment, python=texts)
        | st.builds(VenvEnvironment, venv=texts)
        | st.builds(RequirementsEnvironment, requirements=texts | st.lists(texts).map(tuple)),
        "sys_path": st.lists(texts, max_size=2),
        "validate_prediction": st.booleans(),
    },
)


@given(
    handler_name=texts,
    source=st.sampled_from(["packaged_model_path", "handler_path"]),
    fields=optional_fields,
)
def test_every_spec_survives_json(handler_name: str, source: str, fields: dict[str, Any]) -> None:
    """Acceptance 38, 224."""
    made = InferenceHandlerSpec(**{"handler_name": handler_name, source: "p"}, **fields)
    back = InferenceHandlerSpec.model_validate_json(made.model_dump_json())
    assert back == made
    assert back.content_types_chosen == made.content_types_chosen
    assert back.stack_chosen == made.stack_chosen
    assert [s.request_body for s in back.test_data_samples] == [
        s.request_body for s in made.test_data_samples
    ]
    assert InferenceHandlerSpec.model_validate(made.model_dump()) == made
    json.loads(made.model_dump_json(), parse_constant=pytest.fail)


@given(st.dictionaries(st.sampled_from([*InferenceHandlerSpec.model_fields, "x"]), json_data))
def test_whatever_is_given_is_a_spec_or_a_spec_error(fields: dict[str, Any]) -> None:
    for make in (
        lambda: InferenceHandlerSpec(**fields),
        lambda: InferenceHandlerSpec.model_validate(fields),
        lambda: InferenceHandlerSpec.model_validate_json(json.dumps(fields)),
    ):
        try:
            made: object = make()
        except SpecError as error:
            made = str(error)
        assert isinstance(made, InferenceHandlerSpec | str)
        assert made
