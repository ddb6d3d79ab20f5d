"""What the worker does for the serving stack is what the real sagemaker-inference does.

The same bodies, handlers and values go through `sagemaker_inference` 1.10.1, where it can be
imported, and through `worker.profiles`; both must do the same, word for word.
"""

from __future__ import annotations

import functools
import io
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.sparse

from worker.profiles import base, coders, forms, model_server
from worker.profiles import toolkit as own_toolkit

toolkit = pytest.importorskip("sagemaker_inference", reason="the real toolkit is not installed")

from sagemaker_inference import decoder, encoder, transformer  # noqa: E402
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler  # noqa: E402

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
THEIRS = DefaultInferenceHandler()
NONE = own_toolkit.Profile(None)


def outcome(work: Callable[[], Any]) -> tuple[Any, ...]:
    """Give what a call does in a form that can be compared: its value, or its exception."""
    try:
        value = work()
    except Exception as error:
        return "raised", type(error).__name__, str(error)
    return told(value)


def told(value: Any) -> tuple[Any, ...]:
    if isinstance(value, numpy.ndarray):
        return "array", value.shape, str(value.dtype), repr(value.tolist())
    if scipy.sparse.issparse(value):
        return "sparse", type(value).__name__, value.shape, repr(value.toarray().tolist())
    return "value", type(value).__name__, repr(value)


def npy(value: Any) -> bytearray:
    file = io.BytesIO()
    numpy.save(file, value, allow_pickle=True)
    return bytearray(file.getvalue())


def npz() -> bytearray:
    file = io.BytesIO()
    scipy.sparse.save_npz(file, scipy.sparse.csr_matrix([[0, 1], [2, 0]]))
    return bytearray(file.getvalue())


# ---------------------------------------------------------------- the default functions

CSV_BODIES = [
    *("1,2\n3,4", "1,2,3", "1", "a,b\n1,2", "x,1\ny,2", "", "1,2\n3", "# c\n1,2", '"1","2"'),
    *("1,,3", "1,2.5\n3,4.5", "nan,inf", " 1 , 2 ", "1;2", "é,1", "1,2\r\n3,4\r\n", "true,false"),
]
JSON_BODIES = [
    *(
        '{"a":1}',
        "[[1],[2,3]]",
        "[NaN]",
        "",
        "[[1,2],[3,4]]",
        "1",
        '"text"',
        "null",
        "[]",
        "[1.5,2]",
    ),
    *("[true]", '["a","bc"]', '[{"a":1}]', "{", "[1e999]"),
]
DECODED: list[tuple[Any, str | None]] = [
    *((body, CSV) for body in CSV_BODIES),
    *((body, JSON) for body in JSON_BODIES),
    (npy([[1.5, 2.5]]), NPY),
    (npy(numpy.array([{"a": 1}], dtype=object)), NPY),
    (bytearray(b"no npy"), NPY),
    (bytearray(), NPY),
    (npz(), NPZ),
    (npy([1]), NPZ),
    (bytearray(b"1"), "text/plain"),
    (bytearray(b"1"), "application/json; charset=utf-8"),
    (bytearray(b"1"), "APPLICATION/JSON"),
    (None, "application/x-www-form-urlencoded"),
    (bytearray(b"1"), None),
    (None, CSV),
    (bytearray(b"1,2"), CSV),
]


@pytest.mark.filterwarnings("ignore:genfromtxt. Empty input file")
@pytest.mark.parametrize(
    ("body", "content_type"), DECODED, ids=lambda item: repr(item)[:40].replace("\\x00", "")
)
def test_default_input_fn_decodes_as_the_toolkit(body: Any, content_type: str | None) -> None:
    ours = outcome(lambda: coders.decode(body, content_type))
    assert ours == outcome(lambda: THEIRS.default_input_fn(body, content_type))


def test_key_error_in_a_decoder_is_an_unsupported_type_as_in_the_toolkit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("inside")

    monkeypatch.setattr(json, "loads", fail)
    ours = outcome(lambda: coders.decode("{}", JSON))
    assert ours[:2] == ("raised", "UnsupportedFormatError")
    assert ours == outcome(lambda: decoder.decode("{}", JSON))


class Listed:
    def tolist(self) -> list[int]:
        return [1, 2]


ENCODED: list[Any] = [
    *(numpy.arange(4).reshape(2, 2), numpy.array([1.5, 2.5]), numpy.array(3), numpy.zeros((0,))),
    *(numpy.array(["a", "b"]), numpy.zeros((2, 2, 2)), numpy.float32(1.5), numpy.int64(7)),
    *([1, 2], [[1, 2], [3, 4]], {"a": numpy.arange(2)}, {"a": 1}, 5, 1.5, "text", "", None, True),
    *({1, 2}, b"bytes", (1, 2), [[1], [2, 3]], float("nan"), [float("inf")], Listed(), object),
]


@pytest.mark.parametrize("accept", [JSON, CSV, NPY])
@pytest.mark.parametrize("number", range(len(ENCODED)))
def test_default_output_fn_encodes_as_the_toolkit(number: int, accept: str) -> None:
    value = ENCODED[number]
    ours = outcome(lambda: NONE.default_output_fn(value, accept))
    assert ours == outcome(lambda: THEIRS.default_output_fn(value, accept))


ACCEPTS = [
    *("text/csv, application/json", "image/png, text/csv", " application/json ", "text/csv;q=0.9"),
    *("*/*;q=0.8", "application/x-npz", "", "TEXT/CSV", "text/html,*/*", ","),
]


@pytest.mark.parametrize("accept", ACCEPTS)
def test_accept_list_is_understood_as_by_the_toolkit(accept: str) -> None:
    ours = outcome(lambda: NONE.default_output_fn([1], accept))
    assert ours == outcome(lambda: THEIRS.default_output_fn([1], accept))


def test_missing_functions_refuse_in_the_toolkits_words() -> None:
    for own, theirs in (
        (NONE.default_model_fn, THEIRS.default_model_fn),
        (lambda _: NONE.default_predict_fn(1, 2), lambda _: THEIRS.default_predict_fn(1, 2)),
    ):
        assert outcome(lambda own=own: own("dir")) == outcome(  # type: ignore[misc]
            lambda theirs=theirs: theirs("dir")  # type: ignore[misc]
        )


def test_defaults_cover_every_type_of_the_toolkit() -> None:
    assert set(decoder._decoder_map) == {JSON, CSV, NPY, NPZ}
    assert {JSON, CSV, NPY} == encoder.SUPPORTED_CONTENT_TYPES


# ---------------------------------------------------------------- how a function is called


class Callable2:
    def __call__(self, d: Any, m: Any) -> Any:
        return "callable", d, m


async def coroutine(d: Any, m: Any) -> Any:
    return d, m


def generator(d: Any, m: Any) -> Any:
    yield d, m


SIGNATURES: dict[str, Any] = {
    "(d, m)": lambda d, m: (d, m),
    "(d, m=None)": lambda d, m=None: (d, m),
    "callable object": Callable2(),
    "partial of the first": functools.partial(lambda x, d, m: (x, d, m), "bound"),
    "partial with too few parameters": functools.partial(lambda d: d),
    "partial by keyword": functools.partial(lambda d, m, k: (d, m, k), k=1),
    "(d, m, context)": lambda d, m, context: (d, m, context),
    "(d, m, x=None)": lambda d, m, x=None: (d, m, x),
    "(d)": lambda d: d,
    "()": lambda: None,
    "(*a)": lambda *a: a,
    "(d, m, a=1, b=2)": lambda d, m, a=1, b=2: (d, m, a, b),
    "(*a, **k)": lambda *a, **k: (a, k),
    "(d, *a)": lambda d, *a: (d, a),
    "(d, m, *a)": lambda d, m, *a: (d, m, a),
    "(d, m, **k)": lambda d, m, **k: (d, m, k),
    "(d, m, *, k=1)": lambda d, m, *, k=1: (d, m, k),
    "(d, *, m)": lambda d, *, m: (d, m),
    "(d, m, /)": eval("lambda d, m, /: (d, m)"),
    "built-in with a signature": divmod,
    "built-in without one": max,
    "class": dict,
    "bound method": "a-b".replace,
    "coroutine function": coroutine,
    "generator function": generator,
    "wrapped": functools.wraps(lambda d, m: None)(lambda *a: a),
}


@pytest.fixture
def context() -> model_server.Context:
    return model_server.Context("/models", CSV, JSON, 3)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("name", SIGNATURES)
def test_function_is_called_as_the_toolkit_calls_it(
    name: str, context: model_server.Context
) -> None:
    function = SIGNATURES[name]
    theirs = transformer.Transformer()
    theirs._context = context
    expected = outcome(lambda: shown(theirs._run_handler_function(function, 7, 2)))
    got = outcome(lambda: shown(NONE.invoke(function, [7, 2], context)))
    assert got == expected


def shown(value: Any) -> Any:
    """Close what was never run, and give a form without an address."""
    if hasattr(value, "close"):
        value.close()
        return type(value).__name__
    return value


def test_matrix_of_the_contract_holds_for_both(context: model_server.Context) -> None:
    """The base column of the table in the contract's notes, so that both cannot be wrong alike."""
    with_context = {"(d, m, context)", "(d, m, x=None)", "(d, m, *a)"}
    refused = {"(d)", "()", "(*a)", "(d, m, a=1, b=2)"}
    for name in with_context:
        result = NONE.invoke(SIGNATURES[name], [1, 2], context)
        assert result in ((1, 2, context), (1, 2, (context,))), name
    for name in refused:
        count = base.count_parameters(SIGNATURES[name])
        with pytest.raises(TypeError, match=rf"takes {count} arguments but 2 were given\."):
            NONE.invoke(SIGNATURES[name], [1, 2], context)
    for name in ("(d, m, **k)", "(d, m, *, k=1)"):
        with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
            NONE.invoke(SIGNATURES[name], [1, 2], context)


# ---------------------------------------------------------------- whole requests


class Recorder:
    """A handler whose functions say what they were given."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def module(self, answer: Any) -> types.ModuleType:
        module = types.ModuleType("inference")

        def input_fn(body: Any, content_type: Any) -> Any:
            self.given["body"] = (type(body).__name__, body)
            self.given["content_type"] = content_type
            return body

        def output_fn(prediction: Any, accept: Any) -> Any:
            self.given["accept"] = accept
            return answer() if callable(answer) else answer

        vars(module).update(
            model_fn=lambda model_dir: model_dir,
            input_fn=input_fn,
            predict_fn=lambda data, model: data,
            output_fn=output_fn,
        )
        return module


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """Send one request through the real Transformer, and through ours."""

    def both(
        body: bytes, content_type: str | None, accept: str | None, answer: Any = "x"
    ) -> tuple[Any, Any]:
        return theirs(body, content_type, accept, answer), ours(body, content_type, accept, answer)

    def theirs(body: bytes, content_type: str | None, accept: str | None, answer: Any) -> Any:
        recorder = Recorder()
        monkeypatch.setitem(sys.modules, "inference", recorder.module(answer))
        monkeypatch.setattr(transformer, "find_spec", lambda name: name)
        context = model_server.Context("/models", content_type, accept, len(body))
        # multi-model-server hands over a bytearray, and of a form the field that is called body.
        arrived = None if forms.is_form(content_type) else bytearray(body)
        (response,) = transformer.Transformer().transform([{"body": arrived}], context)
        status = context.get_response_status()[0]
        return recorder.given, status, context.get_response_content_type(0), response

    def ours(body: bytes, content_type: str | None, accept: str | None, answer: Any) -> Any:
        recorder = Recorder()
        found = own_toolkit.Profile(recorder.module(answer))
        context = model_server.Context("/models", content_type, accept, len(body))
        data = model_server.arrive(body, content_type)
        wanted = found.accept(accept)
        model = NONE.invoke(found.function("model_fn"), ["/models"], context)
        taken = NONE.invoke(found.function("input_fn"), [data, content_type], context)
        result = NONE.invoke(found.function("predict_fn"), [taken, model], context)
        value = NONE.invoke(found.function("output_fn"), [result, wanted], context)
        reply = found.reply(value, wanted, context)
        return recorder.given, reply.status, reply.content_type, reply.body

    return both


CONTENT_TYPES = [
    *(JSON, CSV, "application/json; charset=utf-8", "APPLICATION/JSON", "Text/CSV", "text/plain"),
    *(NPY, "image/png", "application/octet-stream", "application/x-www-form-urlencoded", None),
    *("application/jsonlines", "text/csv ", "", "multipart/form-data; boundary=x"),
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    "body", [b"", b"1,2", "naïve \u2028".encode()], ids=["empty", "row", "text"]
)
def test_body_and_content_type_arrive_as_from_the_toolkit(
    content_type: str | None, body: bytes, serve: Callable[..., tuple[Any, Any]]
) -> None:
    theirs, ours = serve(body, content_type, JSON)
    assert ours[0] == theirs[0]
    expected = {JSON: "str", CSV: "str", forms.URLENCODED: "NoneType"}
    expected["multipart/form-data; boundary=x"] = "NoneType"
    assert ours[0]["body"][0] == expected.get(content_type or "", "bytearray")


def test_body_that_is_not_unicode_fails_in_the_same_words(
    serve: Callable[..., tuple[Any, Any]],
) -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        model_server.arrive(b"\xff", JSON)
    context = model_server.Context("/models", JSON, JSON, 1)
    real = transformer.Transformer()
    real.validate_and_initialize = lambda **_: None
    real._environment = types.SimpleNamespace(default_accept=JSON)
    (said,) = real.transform([{"body": bytearray(b"\xff")}], context)
    assert said.startswith(str(caught.value) + "\n")
    assert context.get_response_status()[0] == 500


@pytest.mark.parametrize(
    "accept", [JSON, CSV, None, "*/*", "", "text/csv, application/json", "*/*;q=0.8", "text/html"]
)
def test_accept_arrives_as_from_the_toolkit(
    accept: str | None, serve: Callable[..., tuple[Any, Any]]
) -> None:
    theirs, ours = serve(b"1", CSV, accept)
    assert ours[0]["accept"] == theirs[0]["accept"]
    assert ours[1:3] == theirs[1:3]


def test_default_accept_of_the_container_is_honoured(
    serve: Callable[..., tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    theirs, ours = serve(b"1", CSV, None)
    assert ours[0]["accept"] == theirs[0]["accept"] == "text/csv"


ANSWERS: list[Any] = [
    *("text", b"\x00\xff", bytearray(b"a"), ["x", "y"], {"a": [1, 2]}, None, 1.5, "", {"a": "é"}),
    *(("body", "text/plain"), ("body", "text/plain", 201), (b"b", "a/b"), ([1], "a/b")),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_answer_goes_out_as_the_toolkit_and_the_server_send_it(
    number: int, serve: Callable[..., tuple[Any, Any]]
) -> None:
    theirs, ours = serve(b"1", CSV, JSON, ANSWERS[number])
    assert ours[1:3] == theirs[1:3]
    assert ours[3] == as_the_server_encodes(theirs[3])


def as_the_server_encodes(value: Any) -> bytes:
    """multi-model-server 1.1.11, mms/protocol/otf_message_handler.py."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, indent=2)).encode("utf-8")


def test_tuple_of_one_fails_in_the_toolkits_words(serve: Callable[..., tuple[Any, Any]]) -> None:
    theirs, ours = serve(b"1", CSV, JSON, ("body",))
    assert (ours[1], theirs[1]) == (500, 500)
    assert theirs[3].startswith("tuple index out of range")


# ---------------------------------------------------------------- which functions there are

FALSY: list[Any] = [None, 0, "", [], False]


@pytest.mark.parametrize("value", FALSY, ids=repr)
@pytest.mark.parametrize("name", ["model_fn", "input_fn", "predict_fn", "output_fn"])
def test_name_that_holds_no_function_is_what_it_is_to_the_toolkit(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A falsy value means the default, but for model_fn, which is then called and fails."""
    module = Recorder().module("x")
    setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "inference", module)
    monkeypatch.setattr(transformer, "find_spec", lambda found: found)
    real = transformer.Transformer()
    real._environment = types.SimpleNamespace(module_name="inference")
    real._validate_user_module_and_set_functions()
    theirs = getattr(real, f"_{name}")
    profile = own_toolkit.Profile(module)
    ours = profile.function(name)
    if name == "model_fn":
        assert ours is theirs is value
    else:
        assert theirs == getattr(real._default_inference_handler, f"default_{name}")
        assert ours == getattr(profile, f"default_{name}")
