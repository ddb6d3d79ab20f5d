"""The serving stacks through real workers: what a container sets up, and what the result says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from tests.conftest import Files, MakePackage

CSV, JSON = "text/csv", "application/json"
STACKS = ("toolkit", "pytorch", "huggingface", "sklearn", "xgboost")
FLASK = ("sklearn", "xgboost")
WHOLE = """
import json, os, sys

def model_fn(model_dir):
    return model_dir

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction
"""
WHERE = """
def predict_fn(data, model):
    return json.dumps({
        "model": os.listdir(model), "cwd": os.path.realpath(os.getcwd()) == os.path.realpath(model),
        "root": model in sys.path, "variables": dict(os.environ),
    })
"""


def answered(files: Any, package: MakePackage, stack: str, **fields: Any) -> InferenceTestResult:
    """Test a package with one request a body."""
    bodies = fields.pop("bodies", ["1"])
    samples = tuple(
        InferenceTestSample(
            sample_name=f"sample {number}", request_body=body, **({"content_type": CSV} | more)
        )
        for number, (body, more) in enumerate(
            (body, {}) if isinstance(body, str) else body for body in bodies
        )
    )
    spec = InferenceHandlerSpec(
        handler_name="stacks",
        packaged_model_path=str(package(files)),
        test_data_samples=samples,
        supported_accept_types=[JSON],
        stack=stack,
        **fields,
    )
    with RuntimeTester() as tester:
        return tester.test_inference_handler(spec)


def responses(result: InferenceTestResult) -> list[tuple[Any, ...]]:
    return [
        (row.response.status, row.response.content_type, row.response.body)
        for row in result.end_to_end_results
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_container_sets_up(stack: str, package: MakePackage) -> None:
    result = answered({"code/inference.py": WHOLE + WHERE, "model.bin": ""}, package, stack)
    assert result.overall_success, result.errors
    assert result.stack == stack
    told = json.loads(responses(result)[0][2])
    assert sorted(told["model"]) == ["code", "model.bin"]
    assert told["cwd"] is told["root"] is (stack not in FLASK)
    variables = told["variables"]
    assert variables["SAGEMAKER_PROGRAM"] == "inference.py"
    assert variables["SAGEMAKER_SUBMIT_DIRECTORY"].endswith("/code")
    assert ("SM_MODEL_DIR" in variables) is (stack in FLASK)
    assert ("MMS_DECODE_INPUT_REQUEST" in variables) is (stack in ("toolkit", "huggingface"))
    assert responses(result)[0][1] == ("text/html; charset=utf-8" if stack in FLASK else JSON)


def test_variables_of_the_spec_win(package: MakePackage) -> None:
    own = {"OMP_NUM_THREADS": "3", "SAGEMAKER_REGION": "eu-west-1"}
    result = answered({"code/inference.py": WHOLE + WHERE}, package, "toolkit", environ_vars=own)
    told = json.loads(responses(result)[0][2])
    assert told["variables"] | own == told["variables"]


@pytest.mark.parametrize("stack", STACKS)
def test_only_directory_of_a_package_becomes_the_model_on_torchserve(
    stack: str, package: MakePackage
) -> None:
    result = answered({"code/inference.py": WHOLE + WHERE}, package, stack)
    told = json.loads(responses(result)[0][2])
    assert told["model"] == (["inference.py"] if stack == "pytorch" else ["code"])
    assert any("TorchServe" in text for text in result.warnings) is (stack == "pytorch")


@pytest.mark.parametrize("stack", STACKS)
def test_handler_at_the_root_is_found_but_by_gunicorn(stack: str, package: MakePackage) -> None:
    result = answered({"inference.py": WHOLE, "model.bin": ""}, package, stack)
    assert result.overall_success is (stack not in FLASK)
    if stack in FLASK:
        assert result.model_fn_result.outcome == "not_started"
        assert "No module named 'inference'" in (result.model_fn_result.error_message or "")
        assert result.consequences == [
            "on gunicorn: the container exits at its start, so the endpoint never becomes InService"
        ]


@pytest.mark.parametrize("stack", STACKS)
def test_load_failure_and_what_it_means_in_production(stack: str, package: MakePackage) -> None:
    code = WHOLE + "\ndef model_fn(model_dir):\n    raise ValueError('no model')\n"
    result = answered({"code/inference.py": code, "model.bin": ""}, package, stack)
    expected = {"pytorch": None, "huggingface": 400}.get(stack, 500)
    assert [status for status, _, _ in responses(result)] == [expected]
    (text,) = result.consequences
    words = {"pytorch": "started again", "toolkit": "500", "huggingface": "400"}
    assert words.get(stack, "never becomes InService") in text


TRANSFORM = """
def model_fn(model_dir):
    return "model"

def transform_fn(model, body, content_type, accept):
    if body == "bad":
        raise ValueError("a bad one")
    return body + model
"""


@pytest.mark.parametrize("stack", ["toolkit", "sklearn"])
def test_transform_fn_has_rows_of_its_own(stack: str, package: MakePackage) -> None:
    result = answered(
        {"code/inference.py": TRANSFORM, "model.bin": ""},
        package,
        stack,
        bodies=["1", ("bad", {"should_succeed": False, "error_message_pattern": "a bad one"})],
    )
    assert result.overall_success, result.errors
    assert [row.outcome for row in result.transform_fn_results] == ["passed", "passed"]
    assert responses(result)[0][2] == "1model"
    assert responses(result)[1][0] == 500
    others = [*result.input_fn_results, *result.predict_fn_results, *result.output_fn_results]
    assert {row.outcome for row in others} == {"skipped"}
    assert not any(row.asked for row in others)
    assert result.success_rates()["transform_fn"] == {"passed": 2, "total": 2}


def test_transform_fn_follows_the_switches(package: MakePackage) -> None:
    files = {"code/inference.py": TRANSFORM}
    off = dict.fromkeys(
        ("validate_input_processing", "validate_prediction", "validate_output_formatting"), False
    )
    result = answered(files, package, "toolkit", **off)
    assert [row.outcome for row in result.transform_fn_results] == ["skipped"]
    assert result.end_to_end_results[0].success
    result = answered(files, package, "toolkit", **off, validate_end_to_end=False)
    assert result.overall_success
    assert result.end_to_end_results[0].outcome == "skipped"


def test_transform_fn_by_hand(package: MakePackage) -> None:
    place = str(package({"code/inference.py": TRANSFORM}))
    with RuntimeTester() as tester, tester.open_handler(place) as live:
        assert live.model_fn().success
        row = live.transform_fn(request_body="1", content_type=CSV, accept=JSON)
        assert row.success
        assert row.output_data is not None
        assert row.output_data.preview == "'1model'"
        given = {"model": "own", "body": "2", "content_type": CSV, "accept": JSON}
        assert live.function("transform_fn", given).success


# ---------------------------------------------------------------- sizes and deaths


def test_request_over_the_limit_is_refused_by_the_server(package: MakePackage) -> None:
    bodies = ["x" * 6_553_500, "x" * 6_553_501, ("x" * 6_553_501, {"should_succeed": False})]
    result = answered(
        {"code/inference.py": WHOLE.replace("return prediction", "return 'short'")},
        package,
        "toolkit",
        bodies=bodies,
    )
    assert [row.outcome for row in result.end_to_end_results] == ["passed", "failed", "passed"]
    assert responses(result)[1:] == [(413, None, "")] * 2
    assert [row.outcome for row in result.input_fn_results] == ["passed", "skipped", "skipped"]
    assert any("MMS_MAX_REQUEST_SIZE" in error for error in result.errors)


@pytest.mark.parametrize(
    ("stack", "variable", "status"),
    [
        ("toolkit", "MMS_MAX_REQUEST_SIZE=7000000", 200),
        ("toolkit", "SAGEMAKER_MAX_PAYLOAD_IN_MB=7", 200),
        ("toolkit", "TS_MAX_REQUEST_SIZE=7000000", 413),
        ("pytorch", "TS_MAX_REQUEST_SIZE=7000000", 200),
        ("sklearn", "X=", 200),
    ],
)
def test_limit_of_a_request_can_be_raised(
    stack: str, variable: str, status: int, package: MakePackage
) -> None:
    name, _, value = variable.partition("=")
    result = answered(
        {"code/inference.py": WHOLE.replace("return prediction", "return 'x'"), "m": ""},
        package,
        stack,
        bodies=["x" * 6_553_501],
        environ_vars={name: value},
    )
    assert responses(result)[0][0] == status


def test_response_over_the_servers_limit_is_output_exceeded(package: MakePackage) -> None:
    code = WHOLE.replace("return prediction", "return 'x' * 6_553_501")
    result = answered({"code/inference.py": code}, package, "toolkit")
    assert result.output_fn_results[0].outcome == "output_exceeded"
    assert "MMS_MAX_RESPONSE_SIZE" in (result.output_fn_results[0].error_message or "")
    assert responses(result)[0][0] == 500
    assert "Worker died." in (responses(result)[0][2] or "")


def test_worker_that_a_server_would_lose_is_replaced(package: MakePackage) -> None:
    """The module's state is that of a fresh worker after an answer that kills it."""
    code = WHOLE + (
        "\ncount = []\n"
        "def output_fn(prediction, accept):\n    count.append(1)\n"
        "    return (str(len(count)), 200 if prediction == 'kill' else 'text/plain')\n"
    )
    bodies = ["1", "kill", "1"]
    result = answered({"code/inference.py": code}, package, "toolkit", bodies=bodies)
    assert [body for _, _, body in responses(result)][::2] == ["1", "1"]
    assert responses(result)[1][0] == 500


@pytest.mark.parametrize("stack", ["toolkit", "sklearn"])
@pytest.mark.parametrize(
    ("deed", "status"),
    [("os._exit(3)", 500), ("os.kill(os.getpid(), 9)", 507), ("sys.exit(1)", 500)],
)
def test_what_a_client_sees_of_a_death(
    deed: str, status: int, stack: str, package: MakePackage
) -> None:
    code = WHOLE.replace("return data", deed)
    result = answered({"code/inference.py": code}, package, stack)
    assert responses(result)[0][0] == (status if stack == "toolkit" else None)
    assert "reset" in (result.end_to_end_results[0].response.reason or "") or stack == "toolkit"


@pytest.mark.parametrize("deed", ["os._exit(137)", "os.kill(os.getpid(), 9)"])
def test_torchserve_takes_137_for_want_of_memory(deed: str, package: MakePackage) -> None:
    files = {"code/inference.py": WHOLE.replace("return data", deed), "m": ""}
    assert responses(answered(files, package, "pytorch"))[0][0] == 507


@pytest.mark.parametrize("stack", ["sklearn", "xgboost"])
@pytest.mark.parametrize(
    "files",
    [
        {"code/inference.py": "import not_there_1\n" + WHOLE},
        {"code/inference.py": "import sys\nsys.exit(3)\n" + WHOLE},
        {"code/inference.py": "def broken(:\n"},
        {"inference.py": WHOLE},
    ],
    ids=["import", "exit", "syntax", "at the root"],
)
def test_container_exits_where_the_module_cannot_be_imported(
    stack: str, files: Files, package: MakePackage
) -> None:
    result = answered(files, package, stack)
    assert responses(result) == [(None, None, None)]
    reason = result.end_to_end_results[0].response.reason or ""
    assert reason.startswith("the container exits at its start")
    assert any("the container exits at its start" in text for text in result.consequences)


@pytest.mark.parametrize("stack", ["toolkit", "huggingface", "pytorch", "sklearn"])
def test_child_of_a_handler_finds_its_code_where_the_server_exports_it(
    stack: str, package: MakePackage
) -> None:
    run = "__import__('subprocess').run([sys.executable, '-c', 'import beside'])"
    code = WHOLE.replace("return prediction", f"return str({run}.returncode), 'text/plain'")
    files = {"code/inference.py": code, "code/beside.py": "", "m": ""}
    result = answered(files, package, stack)
    assert ("0" if stack != "sklearn" else "1") in (responses(result)[0][2] or "")


def test_blanks_around_a_header_are_none_of_it(package: MakePackage) -> None:
    code = WHOLE.replace("return data", "return type(data).__name__")
    sample = {"content_type": " text/csv ", "accept_types": [" */* "]}
    result = answered({"code/inference.py": code}, package, "toolkit", bodies=[("1", sample)])
    assert responses(result) == [(200, "application/json", "str")]


def test_server_refuses_a_large_request_of_a_handler_that_cannot_be_loaded(
    package: MakePackage,
) -> None:
    files = {"code/inference.py": "def model_fn(model_dir):\n    raise ValueError('x')\n"}
    result = answered(files, package, "toolkit", bodies=["x" * 6_553_501, "1"])
    assert [status for status, _, _ in responses(result)] == [413, 500]
    assert result.end_to_end_results[1].outcome == "skipped"


def test_form_is_no_business_of_the_handlers_modules(package: MakePackage) -> None:
    code = WHOLE.replace("return data", "return bytes(data).decode()")
    form = {"content_type": "application/x-www-form-urlencoded"}
    files = {"code/inference.py": code, "code/urllib.py": "raise SystemExit(1)"}
    result = answered(files, package, "toolkit", bodies=[("z=1&body=1%2C+2", form)])
    assert responses(result) == [(200, JSON, "1, 2")]


def test_interrupt_at_the_load_is_answered_as_it_is_told(package: MakePackage) -> None:
    code = WHOLE.replace("return model_dir", "raise KeyboardInterrupt")
    result = answered({"code/inference.py": code}, package, "sklearn")
    assert responses(result)[0][:2] == (500, "text/html")
    assert any("answers 500" in text for text in result.consequences)


def test_array_that_nobody_encoded_does_not_pass(package: MakePackage) -> None:
    """A container sends the status line and no body; a test client of Flask's shows nothing."""
    code = WHOLE.replace(
        "return prediction", "import array; return array.array('d', [1, 2]), accept"
    )
    result = answered({"code/inference.py": code}, package, "sklearn")
    assert not result.overall_success
    assert result.output_fn_results[0].outcome == "failed"
    assert "cut after the status line" in (result.output_fn_results[0].error_message or "")


def test_status_set_by_an_earlier_function_is_sent(package: MakePackage) -> None:
    code = WHOLE.replace("def predict_fn(data, model):", "def predict_fn(data, model, context):\n"
                         "    context.set_response_status(202, 'Later')")  # fmt: skip
    result = answered({"code/inference.py": code}, package, "toolkit")
    assert result.overall_success, result.errors
    assert responses(result)[0][0] == 202
