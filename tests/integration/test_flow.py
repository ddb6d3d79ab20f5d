"""What a whole test of a handler does and says: rows, switches, blame, expectations, state."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import harness.specs
from harness import (
    HandlerEnvironmentError,
    InferenceHandlerSpec,
    InferenceTestResult,
    InferenceTestSample,
    Limits,
    PackageError,
    PayloadError,
    RuntimeTester,
    RuntimeTestingConfiguration,
    SpecError,
)
from harness.checks import calls
from harness.checks.arguments import kept_argument
from harness.errors import WorkerError
from tests.conftest import Files, MakePackage
from tests.handlers.good import packages
from tests.waiting import wait_until

CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"
STAGES = ("model_fn", "input_fn", "predict_fn", "output_fn")

# A handler with one piece of code in each function, to be replaced one at a time.
PIECES = {
    "top": "import json, os, sys",
    "model_fn": "return 2.0",
    "input_fn": "return [float(cell) for cell in body.split(',')]",
    "predict_fn": "return [model * cell for cell in data]",
    "output_fn": "return json.dumps({'predictions': prediction})",
}
HEAD = {
    "model_fn": "def model_fn(model_dir):",
    "input_fn": "def input_fn(body, content_type):",
    "predict_fn": "def predict_fn(data, model):",
    "output_fn": "def output_fn(prediction, accept):",
}


def code(**pieces: str) -> str:
    """Write a handler: a piece that is None leaves the function out, one with `def` replaces it."""
    parts = []
    for name, default in PIECES.items():
        piece = pieces.get(name, default)
        if name == "top" or piece.startswith("def "):
            parts.append(piece)
        elif piece != "left out":
            parts.append(HEAD[name] + "".join(f"\n    {line}" for line in piece.splitlines()))
    return "\n\n".join(parts) + "\n"


def sample(name: str = "row", body: str | bytes = "1,2", **fields: Any) -> InferenceTestSample:
    return InferenceTestSample(
        **{"sample_name": name, "content_type": CSV, "request_body": body, **fields}
    )


def spec_for(folder: Path, *samples: InferenceTestSample, **fields: Any) -> InferenceHandlerSpec:
    defaults: dict[str, Any] = {
        "handler_name": "flow",
        "packaged_model_path": str(folder),
        "test_data_samples": samples or (sample(),),
        "supported_accept_types": [JSON],
        "timeout_seconds": 60,
    }
    return InferenceHandlerSpec(**(defaults | fields))


def run(spec: InferenceHandlerSpec) -> InferenceTestResult:
    with RuntimeTester() as tester:
        return tester.test_inference_handler(spec)


@pytest.fixture
def handled(package: MakePackage) -> Callable[..., InferenceTestResult]:
    """Test a handler of the given pieces, with the given samples and fields of the spec."""

    def test(
        pieces: dict[str, str] | None = None, *samples: InferenceTestSample, **fields: Any
    ) -> InferenceTestResult:
        return run(
            spec_for(package({"code/inference.py": code(**(pieces or {}))}), *samples, **fields)
        )

    return test


Handled = Callable[..., InferenceTestResult]


def outcomes(result: InferenceTestResult) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {name: [] for name in STAGES}
    for row in result.function_results():
        rows[row.function_name].append(row.outcome.value)
    return {**rows, "end_to_end": [row.outcome.value for row in result.end_to_end_results]}


def passing(samples: int = 1, requests: int = 1) -> dict[str, list[str]]:
    return {
        "model_fn": ["passed"],
        "input_fn": ["passed"] * samples,
        "predict_fn": ["passed"] * samples,
        "output_fn": ["passed"] * requests,
        "end_to_end": ["passed"] * requests,
    }


# ---------------------------------------------------------------- the flow itself


def test_functions_run_in_order_and_hand_on_what_they_return(handled: Handled) -> None:
    result = handled()
    assert result.overall_success, result.errors
    assert outcomes(result) == passing()
    (end,) = result.end_to_end_results
    assert json.loads(end.response.body or "") == {"predictions": [2.0, 4.0]}
    assert (end.processed_input_type, end.prediction_shape) == ("list", [2])
    assert (end.input_data_size, end.output_data_size) == (3, len(end.response.body or ""))
    assert result.model_fn_result.output_type == "float"


def test_every_sample_is_asked_for_with_every_accept_type(handled: Handled) -> None:
    result = handled(
        {"output_fn": "return accept, accept"},
        sample("a"),
        sample("b", accept_types=(NPY, None)),
        supported_accept_types=[JSON, CSV, "text/plain"],
    )
    asked = [(row.sample_name, row.accept_type) for row in result.end_to_end_results]
    assert asked == [("a", JSON), ("a", CSV), ("a", "text/plain"), ("b", NPY), ("b", None)]
    answered = [row.response.content_type for row in result.end_to_end_results]
    assert answered == [JSON, CSV, "text/plain", NPY, JSON]
    assert [row.accept_type for row in result.output_fn_results] == [item for _, item in asked]
    assert [row.sample_name for row in result.input_fn_results] == ["a", "b"]


def test_model_is_loaded_once_and_module_state_lasts(handled: Handled) -> None:
    pieces = {
        "top": "import json, os\nSEEN = []",
        "model_fn": "SEEN.append('model')\nreturn 2.0",
        "output_fn": "SEEN.append('request')\nreturn json.dumps([os.getpid(), SEEN])",
    }
    result = handled(pieces, *map(sample, "abc"))
    told = [json.loads(row.response.body or "") for row in result.end_to_end_results]
    assert len({pid for pid, _ in told}) == 1
    assert [seen.count("model") for _, seen in told] == [1, 1, 1]
    assert [seen.count("request") for _, seen in told] == [1, 2, 3]


def test_each_handler_gets_a_worker_of_its_own(handled: Handled) -> None:
    pieces = {"output_fn": "return str(os.getpid())"}
    pids = {handled(pieces).end_to_end_results[0].response.body for _ in range(3)}
    assert len(pids) == 3


SQUATS = """
home = os.environ['HOME']
for n in range(1, 9):
    name = os.path.basename(home).replace('1', str(n), 1)
    for place in (name, f'{n}-home', f'worker-{n}'):
        os.makedirs(os.path.join(os.path.dirname(home), place), exist_ok=True)
data[0] == 9 and os.kill(os.getpid(), 9)
return data
"""


def test_a_handler_cannot_take_the_directories_of_the_next_worker(handled: Handled) -> None:
    deadly, other = sample("deadly", "9"), sample("other", "1")
    result = handled({"predict_fn": SQUATS.strip()}, deadly, other, isolation="process")
    assert [row.outcome for row in result.predict_fn_results] == ["crashed", "passed"]


def test_a_handler_that_removes_its_directories_is_told_in_a_sentence(package: MakePackage) -> None:
    removes = (
        "import shutil\nshutil.rmtree(os.path.dirname(os.environ['HOME']))\nos.kill(os.getpid(), 9)"
    )
    folder = package({"code/inference.py": code(predict_fn=removes)})
    spec = spec_for(folder, sample("first"), sample("second"), isolation="process")
    with pytest.raises(WorkerError, match="directories cannot be made in"):
        run(spec)


def test_times_of_the_stages_are_those_of_the_functions(handled: Handled) -> None:
    busy = "import time\nend = time.perf_counter() + 0.05\nwhile time.perf_counter() < end: pass\n"
    result = handled({"predict_fn": busy + "return data"})
    (end,) = result.end_to_end_results
    assert end.prediction_time >= 0.05 > end.input_processing_time
    stages = end.input_processing_time + end.prediction_time + end.output_formatting_time
    assert end.total_execution_time == pytest.approx(stages)
    assert end.model_loading_time == result.model_fn_result.execution_time
    assert result.total_execution_time >= end.total_execution_time
    assert 2**20 < (end.peak_memory_bytes or 0) < 2**30


def test_model_dir_is_a_private_copy_that_may_be_deleted(
    package: MakePackage, tmp_path: Path
) -> None:
    pieces = {
        "top": "import json, shutil, os",
        "model_fn": "open(os.path.join(model_dir, 'cache'), 'w').close()\n"
        "shutil.rmtree(model_dir)\nreturn 2.0",
    }
    folder = package({"code/inference.py": code(**pieces), "weights": "w"})
    before = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(spec_for(folder))
    assert result.overall_success, result.errors
    assert {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    own = tmp_path / "handler.py"
    own.write_text(code(**pieces))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "weights").write_text("w")
    fields = {"handler_path": str(own), "model_dir": str(tmp_path / "own")}
    result = run(InferenceHandlerSpec(handler_name="own", test_data_samples=(sample(),), **fields))
    assert result.overall_success, result.errors
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["weights"]


def test_environ_vars_reach_the_handler_and_no_other_process(
    handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_TESTER", "1")
    pieces = {
        "output_fn": "return json.dumps([os.environ['A'], os.environ['LANG'], "
        "'OF_THE_TESTER' in os.environ])"
    }
    result = handled(pieces, environ_vars={"A": "b = c\n", "LANG": "C"})
    assert json.loads(result.end_to_end_results[0].response.body or "") == ["b = c\n", "C", False]


@pytest.mark.parametrize("as_archive", [False, True], ids=["directory", "archive"])
def test_overrides_of_paths_are_honoured(
    as_archive: bool, package: MakePackage, payloads: Callable[[Files], Path]
) -> None:
    folder = package(
        {"src/serve.py": code(), "code/inference.py": "raise ValueError('not me')"},
        as_archive=as_archive,
    )
    spec = InferenceHandlerSpec(
        handler_name="paths",
        packaged_model_path=str(folder),
        code_paths={"inference_code_dir": "src", "handler_file": "src/serve.py"},
        data_paths={"payload_samples": str(payloads({"row.csv": "3,4"}))},
        payload_samples_path="not/there",
        supported_accept_types=[JSON],
    )
    result = run(spec)
    assert result.overall_success, result.errors
    assert json.loads(result.end_to_end_results[0].response.body or "") == {"predictions": [6, 8]}


def test_payloads_of_every_layout_are_sent_byte_for_byte(
    package: MakePackage, payloads: Callable[[Files], Path]
) -> None:
    files: Files = {
        "csv_samples/padded.csv": " 1,2 \r\n\r\n",
        "json_samples/row.json": b'{"a": "\xc3\xaf"} ',
        "payload_text_csv_0.csv": "5\n",
        "raw.npy": b"\x93NUMPY\x00\xff",
    }
    pieces = {
        "input_fn": "return [type(body).__name__, content_type, "
        "list(body.encode() if isinstance(body, str) else body)]",
        "predict_fn": "return data",
    }
    folder = payloads(files)
    spec = spec_for(
        package({"code/inference.py": code(**pieces)}),
        test_data_samples=(),
        payload_samples_path=str(folder),
    )
    result = run(spec)
    assert result.overall_success, result.errors
    told = {
        row.sample_name: json.loads(row.response.body or "")["predictions"]
        for row in result.end_to_end_results
    }
    expected = {
        "padded": ["str", CSV, list(b" 1,2 \r\n\r\n")],
        "row": ["str", JSON, list(b'{"a": "\xc3\xaf"} ')],
        "payload_text_csv_0": ["str", CSV, list(b"5\n")],
        "raw": ["bytearray", NPY, list(b"\x93NUMPY\x00\xff")],
    }
    assert {Path(name).stem: value for name, value in told.items()} == expected


# ---------------------------------------------------------------- the serving stack's rules


def test_context_is_given_to_a_function_with_one_parameter_more(handled: Handled) -> None:
    pieces = {
        "model_fn": "def model_fn(model_dir, anything):\n"
        "    return [anything.system_properties['model_dir'] == model_dir]",
        "input_fn": "def input_fn(body, content_type, context):\n"
        "    return [context.get_request_header(0, name) for name in ('Content-Type', 'Accept')]",
        "predict_fn": "def predict_fn(data, model, context=None):\n"
        "    return data + model + [context.get_all_request_header(0)['Content-Length']]",
        "output_fn": "def output_fn(prediction, accept, c):\n"
        "    c.set_response_status(code=201)\n"
        "    return json.dumps(prediction + [c.get_request_property('Accept')])",
    }
    result = handled(pieces)
    assert result.overall_success, result.errors
    (end,) = result.end_to_end_results
    assert json.loads(end.response.body or "") == [CSV, JSON, True, "3", JSON]
    assert end.response.status == 201


def test_parameters_go_by_position_whatever_their_names(handled: Handled) -> None:
    pieces = {
        "model_fn": "def model_fn(x):\n    return 2.0",
        "input_fn": "def input_fn(model_dir, accept):\n    return [float(model_dir[0])]",
        "predict_fn": "def predict_fn(model, data):\n    return [data * model[0]]",
        "output_fn": "def output_fn(content_type, body):\n    return str(content_type)",
    }
    result = handled(pieces)
    assert result.overall_success, result.errors
    assert result.end_to_end_results[0].response.body == "[2.0]"


def test_function_with_too_few_parameters_is_blamed(handled: Handled) -> None:
    result = handled({"predict_fn": "def predict_fn(data):\n    return data"})
    row = result.predict_fn_results[0]
    assert row.error_message == "TypeError: predict_fn takes 1 arguments but 2 were given."
    assert result.end_to_end_results[0].response.status == 500


def test_missing_functions_are_the_toolkits(handled: Handled) -> None:
    pieces = {
        "input_fn": "left out",
        "predict_fn": "import numpy\nreturn numpy.asarray(data) * model",
        "output_fn": "left out",
    }
    npy = io.BytesIO()
    numpy.save(npy, numpy.array([[1.0, 2.0], [3.0, 4.0]]))
    result = handled(
        pieces,
        sample("csv", "1.5,2.5\n3.5,4.5\n"),
        sample("json", "[[1, 2], [3, 4]]", content_type=JSON),
        sample("npy", npy.getvalue(), content_type=NPY),
        supported_accept_types=[JSON, CSV],
    )
    assert result.overall_success, result.errors
    bodies = {
        (row.sample_name, row.accept_type): row.response.body for row in result.end_to_end_results
    }
    assert json.loads(bodies["csv", JSON] or "") == [[3.0, 5.0], [7.0, 9.0]]
    assert json.loads(bodies["json", JSON] or "") == [[2, 4], [6, 8]]
    assert list(csv.reader(io.StringIO(bodies["npy", CSV] or ""))) == [
        ["2.0", "4.0"],
        ["6.0", "8.0"],
    ]
    assert all(row.validation_details["default"] for row in result.input_fn_results)
    assert "default" not in result.predict_fn_results[0].validation_details


def test_missing_predict_fn_says_what_the_container_says(handled: Handled) -> None:
    row = handled({"predict_fn": "left out"}).predict_fn_results[0]
    assert row.outcome == "raised"
    assert "Please provide a predict_fn implementation." in (row.error_message or "")


ENVELOPE = '{{\n  "code": {},\n  "type": "InternalServerException",\n  "message": "{}"\n}}\n'
DIED = ENVELOPE.format(500, "Worker died.")
UNSUPPORTED = ENVELOPE.format(503, "Unsupported model output data type.")
REPLIES: dict[str, tuple[str, int | None, str | None, str | None]] = {
    "text": ("return 'x'", 200, JSON, "x"),
    "bytes": ("return b'x'", 200, JSON, "x"),
    "raw bytes": (r"return b'\x00\xff'", 200, JSON, "AP8="),
    "list": ("return [1]", 200, JSON, "[\n  1\n]"),
    "None": ("return None", 200, JSON, "null"),
    "NaN": ("return float('nan')", 200, JSON, "NaN"),
    "tuple": ("return 'x', 'text/plain'", 200, "text/plain", "x"),
    "tuple of three": ("return 'x', 'text/plain', 201", 200, "text/plain", "x"),
    "tuple of one": (
        "return ('x',)",
        500,
        None,
        "tuple index out of range\nTraceback (most recent call last):\n"
        "IndexError: tuple index out of range\n",
    ),
    "tuple with a status": ("return 'x', 200", 500, JSON, DIED),
    "tuple with a huge type": ("return 'x', [0] * 1000000", 500, JSON, DIED),
    "set": ("return {1}", 503, JSON, UNSUPPORTED),
    "array": ("import numpy\nreturn numpy.zeros(2)", 503, JSON, UNSUPPORTED),
    "surrogate": (r"return '\ud800'", 500, JSON, DIED),
    "holds itself": ("a = []\na.append(a)\nreturn a", 500, JSON, DIED),
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_output_fn_returns_becomes_the_containers_answer(name: str, handled: Handled) -> None:
    piece, status, content_type, body = REPLIES[name]
    result = handled({"output_fn": piece})
    (end,) = result.end_to_end_results
    assert (end.response.status, end.response.content_type) == (status, content_type)
    assert end.response.body == body
    assert end.success is (status == 200)
    assert end.failed_function == (None if status == 200 else "output_fn")
    assert outcomes(result)["output_fn"] == (["passed"] if status == 200 else ["failed"])


@pytest.mark.parametrize("status", ["'200'", "10 ** 5000", "float('nan')", "True", "-1"])
def test_status_that_is_none_is_the_handlers_failure(status: str, handled: Handled) -> None:
    pieces = {
        "output_fn": "def output_fn(prediction, accept, context):\n"
        f"    context.set_response_status({status})\n    return 'x'"
    }
    result = handled(pieces)
    assert outcomes(result)["output_fn"] == ["failed"]
    assert result.end_to_end_results[0].response.status == 500


# ---------------------------------------------------------------- blame


BLAME = {
    "model_fn": ["raised", "skipped", "skipped", "skipped"],
    "input_fn": ["passed", "raised", "skipped", "skipped"],
    "predict_fn": ["passed", "passed", "raised", "skipped"],
    "output_fn": ["passed", "passed", "passed", "raised"],
}


@pytest.mark.parametrize("function", STAGES)
def test_only_the_failing_function_is_blamed(function: str, handled: Handled) -> None:
    result = handled({function: "raise KeyError('culprit')"})
    got = outcomes(result)
    assert [got[name][0] for name in STAGES] == BLAME[function]
    assert not result.overall_success
    assert len(result.errors) == 1
    assert result.errors[0].startswith(function)
    assert "KeyError: 'culprit'" in result.errors[0]
    for row in result.function_results():
        if row.outcome == "skipped":
            assert row.skip_reason == f"{function} raised"
    (end,) = result.end_to_end_results
    assert end.response.status == 500
    assert end.response.body is not None
    assert end.response.body.startswith("'culprit'\nTraceback")
    if function != "model_fn":
        assert (end.outcome, end.failed_function) == ("raised", function)


def test_exception_crosses_with_type_message_traceback_and_chain(handled: Handled) -> None:
    piece = "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('bad') from error"
    failure = handled({"predict_fn": piece}).predict_fn_results[0].failure
    assert failure is not None
    assert (failure.type, failure.module, failure.message) == ("ValueError", "builtins", "bad")
    assert "The above exception was the direct cause" in failure.traceback
    assert [(item.relation, item.type) for item in failure.causes] == [("cause", "KeyError")]
    assert failure.frames[-1].in_handler
    assert failure.frames[-1].code == "raise ValueError('bad') from error"


def test_other_accept_types_still_run(handled: Handled) -> None:
    pieces = {"output_fn": "if accept != 'text/csv':\n    raise ValueError(accept)\nreturn '1'"}
    result = handled(pieces, supported_accept_types=[JSON, CSV, NPY])
    assert outcomes(result)["output_fn"] == ["raised", "passed", "raised"]
    assert outcomes(result)["end_to_end"] == ["raised", "passed", "raised"]
    assert outcomes(result)["predict_fn"] == ["passed"]
    assert [row.accept_type for row in result.output_fn_results] == [JSON, CSV, NPY]
    assert len(result.errors) == 2


def test_other_samples_still_run(handled: Handled) -> None:
    result = handled({}, sample("bad", "a,b"), sample("good"))
    assert outcomes(result)["input_fn"] == ["raised", "passed"]
    assert outcomes(result)["end_to_end"] == ["raised", "passed"]
    assert result.success_rates()["end_to_end"] == {"passed": 1, "total": 2}


def test_handler_goes_on_in_a_new_worker_after_a_crash(handled: Handled) -> None:
    pieces = {"predict_fn": "if data == [0]:\n    os._exit(7)\nreturn data"}
    result = handled(
        pieces, sample("a"), sample("crash", "0"), sample("b"), supported_accept_types=[JSON, CSV]
    )
    assert outcomes(result)["predict_fn"] == ["passed", "exited", "passed"]
    assert outcomes(result)["model_fn"] == ["passed"]
    ends = outcomes(result)["end_to_end"]
    assert ends == ["passed", "passed", "exited", "skipped", "passed", "passed"]
    skipped = result.end_to_end_results[3]
    assert skipped.skip_reason == "predict_fn exited on this sample with another accept type"
    assert result.predict_fn_results[1].exit_code == 7


def test_each_call_has_its_own_timeout(handled: Handled) -> None:
    """0.6 s in each of four functions are within 1 s; a hang in one is not."""
    wait = "import time\nend = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass\n"
    slow = {name: wait + PIECES[name] for name in STAGES}
    assert handled(slow, timeout_seconds=1).overall_success
    slow["predict_fn"] = "while True: pass"
    result = handled(slow, limits=Limits(timeout_seconds=1), timeout_seconds=60)
    assert outcomes(result)["predict_fn"] == ["timed_out"]
    assert 1 <= result.predict_fn_results[0].execution_time < 2
    assert result.end_to_end_results[0].response.status == 500
    assert result.end_to_end_results[0].response.body == DIED


def test_death_after_the_answer_is_the_answered_calls(package: MakePackage, tmp_path: Path) -> None:
    pieces = {
        "top": "import json, os, threading",
        "predict_fn": "event = threading.Event()\n"
        "def later():\n"
        "    while not os.path.exists(os.environ['FLAG']):\n        event.wait(0.005)\n"
        "    os._exit(5)\n"
        "threading.Thread(target=later, daemon=True).start()\n"
        "return data",
    }
    flag = tmp_path / "flag"
    spec = spec_for(
        package({"code/inference.py": code(**pieces)}), environ_vars={"FLAG": str(flag)}
    )
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.call(calls.model(live.package.model_dir))
        data = live.call(calls.input_of("1", CSV))
        given = kept_argument(data), kept_argument(model)
        name = live.call(calls.predict(*given, calls.NO_REQUEST))
        assert live.row(name).success
        flag.touch()

        def lost() -> bool:
            live.settle()
            return not live.running

        assert wait_until(lost, 10)
        assert live.row(name).outcome == "exited"
        assert live.row(name).exit_code == 5
        assert "answered, and then" in (live.row(name).error_message or "")


# ---------------------------------------------------------------- switches

FLAGS = {
    "model_fn": "validate_model_loading",
    "input_fn": "validate_input_processing",
    "predict_fn": "validate_prediction",
    "output_fn": "validate_output_formatting",
    "end_to_end": "validate_end_to_end",
}


@pytest.mark.parametrize("stage", FLAGS)
def test_stage_that_is_switched_off_is_skipped_and_still_runs_for_the_others(
    stage: str, handled: Handled
) -> None:
    result = handled({}, **{FLAGS[stage]: False})
    assert result.overall_success, result.errors
    assert outcomes(result) == {**passing(), stage: ["skipped"]}
    rows = [*result.function_results(), *result.end_to_end_results]
    (off,) = [row for row in rows if row.outcome == "skipped"]
    assert off.skip_reason == f"not asked: {FLAGS[stage]} is off"
    assert not off.asked


def test_only_what_is_asked_for_runs(handled: Handled) -> None:
    off = dict.fromkeys(FLAGS.values(), False)
    pieces = {"output_fn": "os._exit(9)", "predict_fn": "os._exit(9)"}
    result = handled(pieces, **{**off, "validate_input_processing": True})
    assert result.overall_success, result.errors
    assert outcomes(result)["input_fn"] == ["passed"]
    assert outcomes(result)["predict_fn"] == ["skipped"]


def test_everything_switched_off_is_no_pass(handled: Handled) -> None:
    result = handled({"top": "raise ValueError"}, **dict.fromkeys(FLAGS.values(), False))
    assert not result.overall_success
    assert {row for rows in outcomes(result).values() for row in rows} <= {"skipped"}


def test_failure_of_a_stage_that_is_switched_off_still_fails_the_others(handled: Handled) -> None:
    """Nothing passes on the strength of a stage that was not looked at."""
    result = handled({"input_fn": "raise ValueError('hidden')"}, validate_input_processing=False)
    assert not result.overall_success
    assert outcomes(result)["input_fn"] == ["skipped"]
    assert outcomes(result)["predict_fn"] == ["skipped"]
    assert any("hidden" in error for error in result.errors)


# ---------------------------------------------------------------- nothing is not a pass


def test_no_samples_is_a_failure_in_words(
    package: MakePackage, payloads: Callable[[Files], Path]
) -> None:
    folder = package({"code/inference.py": code()})
    empty = payloads({})
    result = run(spec_for(folder, test_data_samples=(), payload_samples_path=str(empty)))
    assert not result.overall_success
    assert result.errors == [
        f"no samples were found at {empty}; add payload files or test_data_samples"
    ]
    result = run(spec_for(folder, test_data_samples=()))
    assert not result.overall_success
    assert result.errors == ["no samples were found; add payload files or test_data_samples"]


def test_no_accept_types_is_a_failure_in_words(handled: Handled) -> None:
    result = handled({}, supported_accept_types=[])
    assert not result.overall_success
    assert result.errors == ["there is no accept type to ask for; set supported_accept_types"]


def test_samples_of_other_types_are_skipped_when_the_types_were_set(handled: Handled) -> None:
    samples = (sample("csv"), sample("json", "[1]", content_type=JSON))
    result = handled({}, *samples, supported_content_types=[CSV])
    assert result.overall_success, result.errors
    assert outcomes(result)["input_fn"] == ["passed", "skipped"]
    assert outcomes(result)["end_to_end"] == ["passed", "skipped"]
    assert any("'json'" in warning for warning in result.warnings)
    assert not result.end_to_end_results[1].asked
    all_types = handled({"input_fn": "return [1]"}, *samples)
    assert outcomes(all_types) == passing(2, 2)
    none_left = handled({}, *samples, supported_content_types=[NPY])
    assert not none_left.overall_success
    assert none_left.errors == [
        "no samples are left: 2 samples were found (application/json, text/csv), none of type "
        f"{NPY}; ask for a type that there is (supported_content_types, --content-type)"
    ]


# ---------------------------------------------------------------- expectations


def refused(**fields: Any) -> InferenceTestSample:
    return sample("bad", "a,b", should_succeed=False, **fields)


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        (None, True),
        ("could not convert", True),
        ("VALUEERROR: COULD", True),
        ("valueerror.*'a'", True),
        ("^could", False),
        ("KeyError", False),
    ],
)
def test_sample_that_should_be_refused(pattern: str | None, passes: bool, handled: Handled) -> None:
    result = handled({}, refused(error_message_pattern=pattern))
    assert result.overall_success is passes, result.errors
    outcome = "passed" if passes else "failed"
    assert outcomes(result)["input_fn"] == [outcome]
    assert outcomes(result)["predict_fn"] == ["skipped"]
    assert outcomes(result)["end_to_end"] == [outcome]
    if passes:
        assert not result.predict_fn_results[0].asked
    else:
        assert f"{pattern!r} is not found in: ValueError: could" in result.errors[0]


def test_pattern_spans_lines(handled: Handled) -> None:
    bad = refused(error_message_pattern="first.*second")
    assert handled({"input_fn": "raise ValueError('first\\nsecond')"}, bad).overall_success


def test_bad_sample_that_succeeds_is_a_failure(handled: Handled) -> None:
    result = handled({}, sample(should_succeed=False))
    assert not result.overall_success
    assert outcomes(result)["end_to_end"] == ["failed"]
    assert "should have been refused, and was answered" in result.errors[0]


def test_answer_with_an_error_status_is_a_refusal(handled: Handled) -> None:
    pieces = {
        "output_fn": "def output_fn(prediction, accept, context):\n"
        "    context.set_response_status(422, 'no')\n    return 'x'"
    }
    assert not handled(pieces).overall_success
    assert handled(pieces, sample(should_succeed=False)).overall_success


@pytest.mark.parametrize("piece", ["os._exit(1)", "while True: pass"])
def test_crash_and_hang_are_never_what_was_expected(piece: str, handled: Handled) -> None:
    result = handled({"input_fn": piece}, refused(), timeout_seconds=1)
    assert not result.overall_success


PREDICTIONS = "predictions"
STRUCTURES: dict[str, tuple[Any, str | None]] = {
    "key": ({PREDICTIONS: None}, None),
    "type of elements": ({PREDICTIONS: ["number"]}, None),
    "list by name": ({PREDICTIONS: "list"}, None),
    "object by name": ("object", None),
    "missing key": ({"scores": None}, "response lacks the key 'scores'"),
    "wrong elements": ({PREDICTIONS: ["str"]}, "response.predictions[0] is float, not str"),
    "wrong kind": ({PREDICTIONS: {"a": None}}, "response.predictions is list, not an object"),
    "wrong whole": (["number"], "response is dict, not a list"),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_expected_output_structure(name: str, handled: Handled) -> None:
    structure, problem = STRUCTURES[name]
    result = handled({}, sample(expected_output_structure=structure))
    check_expectation(result, problem)


BODIES: dict[str, tuple[Any, float, str | None]] = {
    "equal": ({PREDICTIONS: [2.0, 4.0]}, 0.0, None),
    "int for float": ({PREDICTIONS: [2, 4]}, 0.0, None),
    "within": ({PREDICTIONS: [2.001, 4]}, 0.01, None),
    "beyond": ({PREDICTIONS: [2.1, 4]}, 0.01, "response.predictions[0] is 2.0, not 2.1"),
    "longer": ({PREDICTIONS: [2]}, 0.0, "response.predictions has 2 elements, not 1"),
    "more keys": ({PREDICTIONS: [2, 4], "b": 1}, 0.0, "differs in the keys"),
    "other type": ({PREDICTIONS: "2"}, 0.0, "response.predictions is [2.0, 4.0], not '2'"),
}


@pytest.mark.parametrize("name", BODIES)
def test_expected_body_with_its_tolerance(name: str, handled: Handled) -> None:
    body, tolerance, problem = BODIES[name]
    result = handled({}, sample(expected_body=body, tolerance=tolerance))
    check_expectation(result, problem)


SCHEMA = {
    "type": "object",
    "required": [PREDICTIONS],
    "properties": {PREDICTIONS: {"type": "array", "items": {"type": "number", "maximum": 3}}},
}


def test_response_schema(handled: Handled) -> None:
    check_expectation(handled({}, sample(body="1", response_schema=SCHEMA)), None)
    result = handled({}, sample(response_schema=SCHEMA))
    check_expectation(result, "response.predictions[1]: 4.0 is greater than the maximum of 3")


def test_response_that_does_not_parse_is_not_what_was_expected(handled: Handled) -> None:
    result = handled({"output_fn": "return '{'"}, sample(expected_output_structure={"a": None}))
    check_expectation(result, "the response does not parse as application/json")


def check_expectation(result: InferenceTestResult, problem: str | None) -> None:
    (end,) = result.end_to_end_results
    assert outcomes(result)["output_fn"] == ["passed"], "the function did what it should"
    assert result.overall_success is (problem is None)
    assert end.outcome == ("passed" if problem is None else "failed")
    if problem is not None:
        assert problem in (end.error_message or "")
        assert problem in result.errors[0]


def test_compatibility_of_consecutive_functions(handled: Handled) -> None:
    good = handled()
    assert [
        (row.source, row.destination, row.compatible) for row in good.compatibility_results
    ] == [
        ("input_fn", "predict_fn", True),
        ("predict_fn", "output_fn", True),
    ]
    bad = handled({"input_fn": "return {'a': 1}", "predict_fn": "return data[0]"})
    (row,) = bad.compatibility_results
    assert (row.source_type, row.compatible, row.content_type_used) == ("dict", False, CSV)
    assert row.compatibility_issues == [
        "predict_fn raised KeyError: 0 on the dict that input_fn returned"
    ]


# ---------------------------------------------------------------- the tester's face


def test_pipeline_is_a_view_of_the_same_test(package: MakePackage) -> None:
    good = spec_for(package({"code/inference.py": code()}), step_name="register")
    bad = spec_for(package({"code/inference.py": code(predict_fn="raise ValueError('no')")}))
    with RuntimeTester() as tester:
        view = tester.test_inference_pipeline(good)
        assert set(view) == {
            "handler_name",
            "step_name",
            "pipeline_success",
            "function_results",
            "errors",
        }
        assert (view["pipeline_success"], view["errors"]) == (True, [])
        assert (view["handler_name"], view["step_name"]) == ("flow", "register")
        functions = view["function_results"]
        assert functions["model_fn"]["success"] is True
        assert functions["model_fn"]["artifacts"]["type"] == "float"
        assert functions["pipeline"] == {"success": True, "passed": 1, "total": 1}
        assert functions["output_fn"][0]["accept_type"] == JSON
        failed = tester.test_inference_pipeline(bad)
        result = tester.test_inference_handler(bad)
    assert failed["pipeline_success"] is False
    assert failed["errors"] == result.errors
    assert failed["function_results"]["predict_fn"][0]["error"] == "ValueError: no"
    for item in (view, failed):
        json.dumps(item, allow_nan=False)


def test_pipeline_tells_input_that_makes_no_sense_as_an_error(tmp_path: Path) -> None:
    with RuntimeTester() as tester:
        view = tester.test_inference_pipeline(spec_for(tmp_path / "not there"))
    assert view["pipeline_success"] is False
    assert "not there" in view["errors"][0]


def test_handler_raises_for_input_that_makes_no_sense(package: MakePackage, tmp_path: Path) -> None:
    good = package({"code/inference.py": code()})
    wrong: dict[type[Exception], InferenceHandlerSpec] = {
        PackageError: spec_for(tmp_path / "not there"),
        PayloadError: spec_for(good, payload_samples_path=str(tmp_path / "not there")),
        HandlerEnvironmentError: spec_for(good, environment={"python": str(tmp_path / "python")}),
    }
    for error, spec in wrong.items():
        with RuntimeTester() as tester, pytest.raises(error, match=str(tmp_path)):
            tester.test_inference_handler(spec)


def test_result_is_json_and_survives_a_round_trip(handled: Handled, tmp_path: Path) -> None:
    pieces = {
        "model_fn": "return {'\\ud800': float('nan')}",
        "predict_fn": "sys.stdout.buffer.write(b'\\xff\\x00')\nraise ValueError('\\ud800')",
    }
    result = handled(pieces)
    text = result.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert InferenceTestResult.model_validate_json(text) == result
    result.save(tmp_path / "result.json")
    assert InferenceTestResult.load(tmp_path / "result.json") == result


def test_every_spelling_of_the_tester(tmp_path: Path) -> None:
    workspace = str(tmp_path / "workspace")
    configuration = RuntimeTestingConfiguration(workspace_dir=workspace, semantic_threshold=0.5)
    for tester in (
        RuntimeTester(workspace),
        RuntimeTester(tmp_path / "workspace"),
        RuntimeTester(workspace_dir=workspace),
        RuntimeTester(config_or_workspace_dir=workspace),
        RuntimeTester(configuration),
        RuntimeTester(workspace, enable_logical_matching=True, semantic_threshold=0.7),
        RuntimeTester(workspace_dir=workspace, enable_inference_testing=True),
    ):
        assert tester.workspace_dir == Path(workspace)
        assert tester.configuration.enable_logical_matching is True
    assert RuntimeTester().workspace_dir is None
    assert RuntimeTester(configuration).configuration.semantic_threshold == 0.5
    assert harness.specs.RuntimeTestingConfiguration is RuntimeTestingConfiguration


def test_tester_refuses_options_that_make_no_sense(tmp_path: Path) -> None:
    for arguments, options, said in (
        ((), {"semantic_treshold": 0.5}, "did you mean 'semantic_threshold'"),
        ((), {"semantic_threshold": 2}, "semantic_threshold"),
        ((str(tmp_path),), {"workspace_dir": str(tmp_path)}, "given twice"),
        ((RuntimeTestingConfiguration(),), {"workspace_dir": "a"}, "not both"),
    ):
        with pytest.raises(SpecError, match=said):
            RuntimeTester(*arguments, **options)


def test_inference_testing_can_be_switched_off(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": code()}))
    tester = RuntimeTester(enable_inference_testing=False)
    with pytest.raises(SpecError, match="enable_inference_testing=True"):
        tester.test_inference_handler(spec)
    assert "error" in tester.test_inference_function(spec, "model_fn", {"model_dir": "a"})


def test_workspace_is_made_and_left_empty(package: MakePackage, tmp_path: Path) -> None:
    workspace = tmp_path / "a" / "workspace"
    spec = spec_for(package({"code/inference.py": code()}))
    with RuntimeTester(workspace) as tester:
        assert tester.test_inference_handler(spec).overall_success
        assert list(workspace.iterdir()) == []


def test_open_handler_keeps_one_worker_for_any_order_of_calls(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": code(top="import json, os")}))
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.model_fn()
        first, second = live.input_fn("1,2", CSV), live.input_fn(b"5", CSV)
        assert (model.output_type, first.output_type) == ("float", "list")
        assert live.predict_fn().output_data.preview == "[10.0]"  # type: ignore[union-attr]
        assert live.predict_fn(first).output_data.preview == "[2.0, 4.0]"  # type: ignore[union-attr]
        assert live.predict_fn([3], 3).output_data.preview == "[9]"  # type: ignore[union-attr]
        assert live.predict_fn(second, model).success
        assert live.output_fn(accept=CSV).output_data.preview == """'{"predictions": [10.0]}'"""  # type: ignore[union-attr]
        assert live.running


def test_call_without_a_value_to_go_on_from_is_an_error_in_words(package: MakePackage) -> None:
    folder = package({"code/inference.py": code()})
    with (
        RuntimeTester() as tester,
        tester.open_handler(folder) as live,
        pytest.raises(SpecError, match="no value of input_fn; call it first"),
    ):
        live.predict_fn()


def test_open_handler_goes_on_after_its_worker_was_lost(package: MakePackage) -> None:
    spec = spec_for(package({"code/inference.py": code(predict_fn="os._exit(4)")}))
    with RuntimeTester() as tester, tester.open_handler(spec) as live:
        model = live.model_fn()
        live.input_fn("1", CSV)
        assert live.predict_fn().outcome == "exited"
        with pytest.raises(SpecError, match="call it first"):
            live.predict_fn()
        assert live.input_fn("1", CSV).success
        old = live.predict_fn(model=model)
        assert old.outcome == "failed"
        assert "is not kept here" in (old.error_message or "")
        assert live.model_fn().success


# ---------------------------------------------------------------- the seed's helpers


def test_extract_packaged_model_and_clean_up(package: MakePackage, tmp_path: Path) -> None:
    archive = package(
        {"code/inference.py": code(), "model.bin": b"m", "calibration/c.json": "{}"},
        as_archive=True,
    )
    tester = RuntimeTester(workspace_dir=tmp_path)
    paths = tester._extract_packaged_model(str(archive))
    root = tmp_path / "inference_inputs"
    assert paths == {
        "extraction_root": str(root),
        "inference_code": str(root / "code"),
        "handler_file": str(root / "code" / "inference.py"),
        "calibration_model": str(root / "calibration"),
    }
    assert (root / "model.bin").read_bytes() == b"m"
    assert tester._load_handler_module(paths["handler_file"]) == root / "code" / "inference.py"
    with pytest.raises(PackageError, match="exists"):
        tester._extract_packaged_model(str(archive))
    tester._cleanup_extraction_directory("inference_inputs")
    assert not root.exists()
    tester._cleanup_extraction_directory("inference_inputs")
    plain = package({"code/inference.py": code()}, as_archive=True)
    with tester:
        assert "calibration_model" not in tester._extract_packaged_model(plain, "other")
    assert not (tmp_path / "other").exists(), "leaving the tester removes it"


def test_clean_up_leaves_a_strangers_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(SpecError, match="left alone"):
        RuntimeTester(tmp_path)._cleanup_extraction_directory("mine")
    assert (tmp_path / "mine").is_dir()


def test_load_payload_samples_keeps_bodies_as_they_are(payloads: Callable[[Files], Path]) -> None:
    folder = payloads({"csv_samples/a.csv": " 1,2 \n", "json_samples/b.json": "{}"})
    found = RuntimeTester()._load_payload_samples(folder)
    assert [(item["sample_name"], item["content_type"], item["data"]) for item in found] == [
        ("a", CSV, b" 1,2 \n"),
        ("b", JSON, b"{}"),
    ]
    assert found[0]["file_path"].endswith("csv_samples/a.csv")


def test_validate_function_result(tmp_path: Path) -> None:
    validate = RuntimeTester()._validate_function_result
    assert validate("model_fn", {"a": 1}, {}) == {
        "function_type": "model_fn",
        "result_type": "dict",
        "has_model_artifacts": True,
        "is_dict": True,
    }
    assert validate("model_fn", None, {})["has_model_artifacts"] is False
    assert validate("input_fn", [1], {})["input_type"] == "list"
    assert validate("predict_fn", None, {})["has_predictions"] is False
    assert validate("output_fn", "x", {})["response_type"] == "str"


def test_output_files_and_their_formats(tmp_path: Path) -> None:
    for name in (
        "b.csv",
        "sub/a.json",
        "empty.csv",
        ".hidden",
        "table.parquet",
        "odd.xyz",
        "plain",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.csv" else "x")
    tester = RuntimeTester()
    found = tester._find_valid_output_files(tmp_path)
    formats = {str(path.relative_to(tmp_path)): tester._detect_file_format(path) for path in found}
    assert formats == {
        "b.csv": "csv",
        "odd.xyz": "xyz",
        "plain": "unknown",
        "sub/a.json": "json",
        "table.parquet": "parquet",
    }


def test_good_handler_of_every_kind_as_the_seed_calls_it(
    package: MakePackage, payloads: Callable[[Files], Path]
) -> None:
    spec = InferenceHandlerSpec.create_default(
        handler_name="plain",
        step_name="step",
        packaged_model_path=package(packages.files("plain"), as_archive=True),
        payload_samples_path=payloads(
            {"csv_samples/a.csv": "1,2\n", "json_samples/b.json": '{"rows": [[1, 2]]}'}
        ),
    )
    with RuntimeTester() as tester:
        view = tester.test_inference_pipeline(spec)
    assert view["pipeline_success"], view["errors"]
    assert view["function_results"]["pipeline"] == {"success": True, "passed": 4, "total": 4}
