"""The cases of the serving toolkits' own test suites, by number, replayed against our profiles.

B: sagemaker-inference; P: PyTorch; H: HuggingFace; S: scikit-learn; X: XGBoost; C:
sagemaker-containers; M: MXNet; T: TensorFlow Serving. `LEFT_OUT` says why another is not here.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import pytest
import scipy.sparse

from tests.conformance.replay import CSV, JSON, NPY, NPZ, handler, raising, returning, served
from worker.profiles import coders, huggingface, model_server, rows, sklearn, toolkit, xgboost

CASES: dict[str, Callable[[], None]] = {}
LAST = {"B": 72, "P": 26, "H": 12, "S": 26, "X": 31, "C": 13, "M": 2, "T": 3}

TORCH = "needs torch: compared in test_differential with the real default functions, --long"
STARTS = "how the server is started, which is not simulated"
MME = "multi-model endpoints are not simulated"
ALGORITHM = "the algorithm mode of xgboost has no handler"
RECORDIO = "needs mlio, which only the container has"
LEFT_OUT: dict[str, str] = {
    "B2": "batches are not simulated: multi-model-server sends one request",
    "B58": "requests here carry the header as Content-Type",
    "B59": "requests here carry the header as Content-Type",
    "B56": "requests here carry the header as Content-Type",
    "B57": "requests here carry the header as Content-Type",
    **{f"B{number}": STARTS for number in (67, 68, 69, 70, 71, 72)},
    **{f"P{number}": TORCH for number in range(1, 22)},
    "P22": "Elastic Inference is gone",
    "P24": "one process serves by construction: test_flow, test_model_is_loaded_once",
    "P25": MME,
    "H4": "a handler is loaded once a worker",
    "H9": "needs PIL: compared in test_differential, --long",
    "S19": "execution_parameters_fn is not simulated",
    **{f"S{number}": MME for number in range(20, 27)},
    "X17": RECORDIO,
    "X18": RECORDIO,
    "X19": RECORDIO,
    "X26": MME,
    **{f"X{number}": ALGORITHM for number in range(27, 32)},
    "C2": "sklearn and xgboost replace this default by their own, whose error is a 500: C1",
    "C3": "sklearn and xgboost replace this default by their own, whose error is a 500: C1",
    "C4": "a Response of a number is made there, and never sent",
    "C6": "requests here carry the header as Content-Type",
    "C11": "/ping is told as text (consequences), not asked",
    "C12": "execution_parameters_fn is not simulated",
    **{f"M{number}": "MXNet is not simulated" for number in (1, 2)},
    **{f"T{number}": "TensorFlow Serving is not simulated" for number in (1, 2, 3)},
}


def case(*names: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Say which numbered cases a function replays: "B23", or "B13-19" for several."""

    def keep(function: Callable[[], None]) -> Callable[[], None]:
        for name in names:
            letter, first, last = re.fullmatch(r"([A-Z])(\d+)(?:-(\d+))?", name).groups()  # type: ignore[union-attr]
            for number in range(int(first), int(last or first) + 1):
                CASES[f"{letter}{number}"] = function
        return function

    return keep


def array(value: Any, *like: Any) -> None:
    """Check that an array equals one of these."""
    assert isinstance(value, numpy.ndarray)
    numpy.testing.assert_array_equal(value, numpy.array(*like))


def npy(value: Any) -> bytes:
    file = io.BytesIO()
    numpy.save(file, value, allow_pickle=True)
    return file.getvalue()


def seen(reply: Any) -> tuple[Any, ...]:
    return reply.status, reply.content_type, reply.body


# ---------------------------------------------------------------- B: sagemaker-inference

NOTHING = toolkit.Profile(None)
TELLING = handler(output_fn=lambda prediction, accept: accept)


@case("B1")
def _accept_is_passed_on() -> None:
    assert served("toolkit", TELLING, accept="a/b").body == b"a/b"


@case("B3", "B4", "B64")
def _accept_has_a_default() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/html")
        assert served("toolkit", TELLING, accept=None).body == b"text/html"
        assert served("toolkit", TELLING, accept="*/*").body == b"text/html"


@case("B5")
def _two_types_are_decoded() -> None:
    for kind, expected in ((JSON, "str"), (CSV, "str"), (NPY, "bytearray")):
        functions = handler(input_fn=lambda body, content_type: type(body).__name__)
        assert served("toolkit", functions, content_type=kind).body == expected.encode()


@case("B6")
def _tuple_is_body_and_type() -> None:
    assert seen(served("toolkit", returning(("x", "a/b")))) == (200, "a/b", b"x")


@case("B7", "P23")
def _model_is_loaded_with_its_directory() -> None:
    calls: list[Any] = []
    assert served("toolkit", handler(model_fn=lambda folder: calls.append(folder))).status == 200
    assert calls == ["/models"]


@case("B8")
def _exception_at_load_is_answered() -> None:
    def model_fn(model_dir: Any) -> Any:
        raise ValueError("Foo")

    reply = served("toolkit", handler(model_fn=model_fn))
    assert (reply.status, reply.reason) == (500, "Foo")
    assert (reply.body or b"").startswith(b"Foo\nTraceback (most recent call last)")


@case("B9")
def _error_of_the_toolkit_has_its_status() -> None:
    from sagemaker_inference.errors import BaseInferenceToolkitError

    error = BaseInferenceToolkitError(403, "message", "phrase")
    assert served("toolkit", handler(predict_fn=raising(error))).status == 403


@case("B10", "B11")
def _defaults_stand_for_what_is_missing() -> None:
    for module in (None, SimpleNamespace()):
        profile = toolkit.Profile(module)
        for name in ("model_fn", "input_fn", "predict_fn", "output_fn"):
            assert profile.function(name) == getattr(profile, f"default_{name}")


@case("B12", "C5")
def _transform_fn_alone() -> None:
    for stack in ("toolkit", "sklearn"):
        functions = {
            "model_fn": lambda model_dir: "m",
            "transform_fn": lambda *given: [str(item) for item in given],
        }
        if stack == "toolkit":
            functions["transform_fn"] = lambda m, b, c, a: [m, b, c, a]
        body = json.loads(served(stack, functions, b"b", CSV, JSON).body or b"")
        assert body == ["m", "b", CSV, JSON]


@case("B13-19", "S17")
def _transform_fn_beside_others() -> None:
    names = ("input_fn", "predict_fn", "output_fn")
    for count in (1, 2, 3):
        for chosen in combinations(names, count):
            functions = dict.fromkeys((*chosen, "transform_fn"), print)
            with pytest.raises(ValueError, match="in conjunction with input_fn"):
                toolkit.Profile(SimpleNamespace(**functions))
            with pytest.raises(sklearn.UserError):
                sklearn.Profile(SimpleNamespace(**functions))


@case("B20")
def _functions_hand_on() -> None:
    functions = handler(
        model_fn=lambda folder: "m",
        input_fn=lambda body, kind: [body, kind],
        predict_fn=lambda data, model: [*data, model],
        output_fn=lambda prediction, accept: " ".join([*prediction, accept]),
    )
    assert served("toolkit", functions, b"b", CSV, "a/b").body == f"b {CSV} m a/b".encode()


@case("B21", "B22")
def _context_by_the_number_of_parameters() -> None:
    def dummy_handler_func(one: Any, two: Any) -> Any:
        return one, two

    assert NOTHING.invoke(dummy_handler_func, [1], "context") == (1, "context")
    assert NOTHING.invoke(dummy_handler_func, [1, 2], "context") == (1, 2)
    with pytest.raises(
        TypeError, match=r"^dummy_handler_func takes 2 arguments but 3 were given\.$"
    ):
        NOTHING.invoke(dummy_handler_func, [1, 2, 3], "context")


@case("B23", "B24", "B25", "B60-62")
def _first_supported_type_wins() -> None:
    for accept in (CSV, f"{CSV}, {JSON}", f"unsupported/type, {CSV}", f"{CSV},{JSON}"):
        assert NOTHING.default_output_fn([1, 2], accept) == ("1\n2\n", CSV)


@case("B26", "B27", "S11", "X21")
def _missing_functions_refuse() -> None:
    with pytest.raises(NotImplementedError, match="provide a model_fn implementation"):
        NOTHING.default_model_fn("folder")
    with pytest.raises(NotImplementedError, match="provide a predict_fn implementation"):
        NOTHING.default_predict_fn(1, 2)
    with pytest.raises(NotImplementedError):
        xgboost.Profile(None).default_model_fn("folder")
    with pytest.raises(coders.UnsupportedFormatError):
        sklearn.Profile(None).default_input_fn(b"", "application/octet-stream")


LISTS = ([42, 6, 9], [42.0, 6.0, 9.0], ["42", "6", "9"])


@case("B28-32", "S8-10")
def _npy_is_decoded() -> None:
    for value in LISTS:
        array(coders.decode(npy(value), NPY), value)
        array(sklearn.Profile(None).default_input_fn(npy(value), NPY), value)
    mapping = coders.decode(npy({42: {"6": 9.0}}), NPY)
    assert mapping.item() == {42: {"6": 9.0}}


@case("B33-35")
def _json_is_decoded() -> None:
    for value in LISTS:
        array(coders.decode(json.dumps(value), JSON), value)


@case("B36-38")
def _csv_is_decoded() -> None:
    array(coders.decode("42\n6\n9\n", CSV), [42, 6, 9])
    array(coders.decode("42.0\n6.0\n9.0\n", CSV), [42.0, 6.0, 9.0])


@case("B39-41")
def _npz_is_decoded() -> None:
    for make in (scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, scipy.sparse.coo_matrix):
        file = io.BytesIO()
        scipy.sparse.save_npz(file, make([[0, 0, 3], [4, 0, 0]]))
        array(coders.decode(file.getvalue(), NPZ).toarray(), [[0, 0, 3], [4, 0, 0]])


@case("B42", "B55", "S16")
def _other_types_are_refused() -> None:
    for work in (coders.decode, coders.encode, rows.encode, rows.decode):
        with pytest.raises(coders.UnsupportedFormatError):
            work(b"", "application/octet-stream")


@case("B43-46", "S15")
def _npy_is_encoded() -> None:
    for value in LISTS:
        array(numpy.load(io.BytesIO(coders.encode(value, NPY))), value)
    assert (
        served("sklearn", {**MODEL, "input_fn": lambda b, c: [1]}, accept=NPY).content_type == NPY
    )


@case("B47-50", "S13")
def _json_is_encoded() -> None:
    expected = ("[42, 6, 9]", "[42.0, 6.0, 9.0]", '["42", "6", "9"]', '{"42": {"6": 9.0}}')
    for value, text in zip((*LISTS, {42: {"6": 9.0}}), expected, strict=True):
        assert coders.encode(value, JSON) == text
        assert rows.encode(value, JSON) == text
        if isinstance(value, list):
            assert coders.encode(numpy.array(value), JSON) == text


@case("B51")
def _function_is_no_json() -> None:
    with pytest.raises(TypeError):
        coders.encode(lambda: 3, JSON)


@case("B52-54")
def _csv_is_encoded() -> None:
    assert coders.encode([42, 6, 9], CSV) == "42\n6\n9\n"
    assert coders.encode([42.0, 6.0, 9.0], CSV) == "42.0\n6.0\n9.0\n"
    assert coders.encode(["42", "6", "9"], CSV) == "42\n6\n9\n"


@case("B63")
def _phrase_has_no_line_breaks() -> None:
    reply = served("toolkit", handler(predict_fn=raising(ValueError("test:\r\nstring"))))
    assert reply.reason == "test:  string"


@case("B65", "B66")
def _program_names_the_module() -> None:
    from harness import InferenceHandlerSpec
    from harness.artifacts import package

    for program in ("program.py", "program"):
        spec = InferenceHandlerSpec(
            handler_name="h", packaged_model_path="p", environ_vars={"SAGEMAKER_PROGRAM": program}
        )
        assert package._asked_module(spec) == "program"


# ---------------------------------------------------------------- P and H


@case("P26")
def _transform_fn_that_refuses_a_type() -> None:
    def transform_fn(model: Any, body: Any, content_type: str, accept: str) -> Any:
        raise ValueError(f"no {content_type}")

    functions = {"model_fn": lambda folder: 1, "transform_fn": transform_fn}
    reply = served("pytorch", functions, content_type=CSV)
    assert (reply.status, reply.reason) == (500, f"no {CSV}")


@case("H1", "H2")
def _all_four_with_and_without_context() -> None:
    with_context = {
        "model_fn": lambda model_dir, context=None: "m",
        "input_fn": lambda data, content_type, context=None: [data],
        "predict_fn": lambda data, model, context=None: [*data, model],
        "output_fn": lambda prediction, accept, context=None: (
            f"{prediction} {type(context).__name__}"
        ),
    }
    body = served("huggingface", with_context, b"b").body
    assert body == b"['b', 'm'] Context"
    assert served("huggingface", handler(), b"b").body == b"b"


@case("H3")
def _transform_fn_of_huggingface() -> None:
    functions = {
        "model_fn": lambda model_dir: "",
        "transform_fn": lambda model, data, content_type, accept: f"output {bytes(data).decode()}",
    }
    assert served("huggingface", functions, b"dummy", NPY).body == b"output dummy"


HUGGINGFACE = huggingface.Profile(None)


@case("H5")
def _empty_json() -> None:
    with pytest.raises(json.JSONDecodeError):
        HUGGINGFACE.default_input_fn("", JSON)


@case("H6", "H7")
def _csv_with_a_header() -> None:
    questions = "question,context\r\nwhere do i live?,My name is Philipp\r\nwho?,Berlin"
    assert HUGGINGFACE.default_input_fn(questions, CSV) == {
        "inputs": [
            {"question": "where do i live?", "context": "My name is Philipp"},
            {"question": "who?", "context": "Berlin"},
        ]
    }
    texts = HUGGINGFACE.default_input_fn("inputs\r\nI love you\r\nI like you", CSV)
    assert texts == {"inputs": ["I love you", "I like you"]}


@case("H8")
def _csv_without_a_header() -> None:
    with pytest.raises(huggingface.PredictionException, match="correct CSV with Header columns"):
        HUGGINGFACE.default_input_fn("where do i live?,My name is Philipp", CSV)


@case("H10")
def _audio_is_handed_on() -> None:
    for kind in ("x-flac", "mpeg", "wave", "ogg", "x-audio"):
        data = HUGGINGFACE.default_input_fn(bytearray(b"sound"), f"audio/{kind}")
        assert data == {"inputs": b"sound"}


@case("H11")
def _arrays_become_json() -> None:
    listed = type("Tensor", (), {"tolist": lambda self: [1.5]})()
    value = {"a": numpy.arange(2), "b": numpy.float32(1.5), "c": listed}
    assert HUGGINGFACE.default_output_fn(value, JSON) == '{"a":[0,1],"b":1.5,"c":[1.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        HUGGINGFACE.default_output_fn([float("nan")], JSON)


@case("H12")
def _dictionaries_become_csv() -> None:
    row = {"answer": "Berlin", "end": 20, "score": 0.5, "start": 14}
    text = HUGGINGFACE.default_output_fn([row], CSV)
    assert text == "answer,end,score,start\r\nBerlin,20,0.5,14\r\n"


# ---------------------------------------------------------------- S

MODEL = {"model_fn": lambda folder: SimpleNamespace(predict=lambda data: numpy.ones((2, 2)))}


@case("S1-4")
def _json_of_floats() -> None:
    for value in ([42, 6, 9], [42.0, 6.0, 9.0], ["42", "6", "9"], [[1, 2], [3, 4]]):
        data = sklearn.Profile(None).default_input_fn(json.dumps(value), JSON)
        array(data, value, numpy.float32)
        assert data.dtype == numpy.float32


@case("S5-7")
def _csv_of_floats() -> None:
    for text, value in (
        ("42\n6\n9\n", [42, 6, 9]),
        ("42.0\n6.0\n9.0\n", [42, 6, 9]),
        ("1,2,3", [1, 2, 3]),
    ):
        data = sklearn.Profile(None).default_input_fn(text, CSV)
        assert data.shape == (3,)
        array(data, value, numpy.float32)


@case("S12")
def _model_is_asked_once() -> None:
    asked: list[Any] = []
    model = SimpleNamespace(predict=lambda data: asked.append(data) or "said")
    assert sklearn.Profile(None).default_predict_fn("data", model) == "said"
    assert asked == ["data"]


@case("S14")
def _csv_of_sklearn() -> None:
    reply = served("sklearn", MODEL, b"1,2", CSV, CSV)
    assert seen(reply) == (200, "text/csv; charset=utf-8", b"1.0,1.0\n1.0,1.0\n")


@case("S18")
def _transform_fn_of_sklearn() -> None:
    functions = {"model_fn": lambda folder: 1, "transform_fn": lambda m, b, c, a: (b, a)}
    assert seen(served("sklearn", functions, b"x", CSV, "a/b")) == (200, "a/b", b"x")


# ---------------------------------------------------------------- X


class DMatrix:
    """What the tests have in place of xgboost's: the data it is made of."""

    def __init__(self, data: Any) -> None:
        self.data = Path(data).read_bytes() if isinstance(data, str) else data


def dmatrix(body: Any, content_type: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        module = ModuleType("xgboost")
        module.DMatrix = DMatrix  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "xgboost", module)
        return xgboost.Profile(None).default_input_fn(body, content_type).data


@case("X1-8")
def _csv_becomes_a_matrix() -> None:
    for body in ("42,6,9", "42.0,6.0,9.0", b"42,6,9"):
        array(dmatrix(body, CSV), [[42.0, 6.0, 9.0]])
    for body in ("42\n6\n9\n", b"42\n6\n9\n"):
        array(dmatrix(body, CSV), [[42.0], [6.0], [9.0], [numpy.nan]])
    array(dmatrix("1,,3", CSV), [[1.0, numpy.nan, 3.0]])


@case("X9-14")
def _csv_that_is_no_numbers() -> None:
    ends = ("12:12:12", "2019-1-1", "2019-1-1 12:12:12", "2019-1-1 12:12:12+00", "-14 days")
    for body in (*(f"1,2,3,{end}" for end in ends), "1,2,3\n1,2,c", "1,2\n3,4\n"):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's words
            dmatrix(body, CSV)


@case("X15", "X16")
def _libsvm_goes_through_a_file() -> None:
    for kind in ("text/libsvm", "text/x-libsvm"):
        assert dmatrix(b"0 0:1 5:1", kind) == b"0 0:1 5:1"


@case("X20")
def _parameters_of_the_type_are_allowed() -> None:
    array(dmatrix(b"1,2", "text/csv; charset=UTF-8"), [[1.0, 2.0]])


@case("X22-25")
def _defaults_of_xgboost() -> None:
    profile = xgboost.Profile(SimpleNamespace(model_fn=print))
    assert profile.function("model_fn") is print
    for name in ("input_fn", "predict_fn", "output_fn"):
        assert profile.function(name) == getattr(profile, f"default_{name}")
    model = SimpleNamespace(predict=lambda data, validate_features: (data, validate_features))
    assert profile.default_predict_fn(1, model) == (1, False)


# ---------------------------------------------------------------- C


@case("C1")
def _every_error_is_one_page() -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("secret")

    for name in ("model_fn", "input_fn", "predict_fn", "output_fn"):
        reply = served("sklearn", handler(**{name: fails}))
        assert reply.status == 500
        assert b"secret" not in (reply.body or b"")
    assert served("sklearn", MODEL, content_type="fake/content-type").status == 500
    assert served("sklearn", MODEL, b"[1]", JSON, "fake/accept").status == 500


@case("C7")
def _text_and_bytes() -> None:
    functions = handler(input_fn=lambda body, content_type: type(body).__name__)
    assert served("sklearn", functions, content_type=JSON).body == b"str"
    assert served("sklearn", functions, content_type=NPY).body == b"bytes"


@case("C8")
def _accept_of_the_container() -> None:
    for given, expected in ((None, JSON), ("", JSON), ("*/*", JSON), (CSV, CSV)):
        assert served("sklearn", TELLING, accept=given).body == expected.encode()


@case("C9")
def _csv_with_quotes_is_decoded() -> None:
    array(rows.decode('"False,"\n"True."\n"False,"\n', CSV), ["False,", "True.", "False,"])
    array(rows.decode('aaa\n"b""bb"\nccc\n', CSV), ["aaa", 'b"bb', "ccc"])


@case("C10")
def _csv_with_quotes_is_encoded() -> None:
    assert rows.encode(["aaa", 'b"bb', "ccc"], CSV) == 'aaa\n"b""bb"\nccc\n'
    assert rows.encode(["a\nb", "c,d"], CSV) == '"a\nb"\n"c,d"\n'


@case("C13")
def _weights_times_payload() -> None:
    functions = {
        "model_fn": lambda folder: numpy.array([6, 9, 42]),
        "predict_fn": lambda data, model: data * model,
    }
    body = served("sklearn", functions, npy([6, 9, 42.0]), NPY, JSON).body
    assert body == b"[36.0, 81.0, 1764.0]"
    reply = served("sklearn", functions, b"[6, 9, 42.0]", JSON, CSV)
    assert reply.body == b"36.0\n81.0\n1764.0\n"
    back = served("sklearn", functions, b"6\n9\n42.0\n", CSV, NPY).body
    array(numpy.load(io.BytesIO(back or b"")), [36.0, 81.0, 1764.0])


@pytest.mark.parametrize("name", sorted(CASES, key=lambda name: (name[0], int(name[1:]))))
def test_case(name: str) -> None:
    CASES[name]()


def test_every_case_is_replayed_or_left_out_with_a_reason() -> None:
    every = {f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)}
    assert not CASES.keys() & LEFT_OUT.keys()
    assert CASES.keys() | LEFT_OUT.keys() == every
    assert all(LEFT_OUT.values())
    assert model_server.MAX_RESPONSE_BYTES == 6_553_500
