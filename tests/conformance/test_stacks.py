"""The tables of what differs between the stacks: signatures, bodies, accepts, answers, loads.

The rows are those of the survey of the containers, most of them seen on live servers.
"""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from sagemaker_inference.errors import BaseInferenceToolkitError

from tests.conformance.replay import CSV, JSON, STACKS, handler, raising, returning, served
from tests.conformance.sides import envelope
from worker import profiles
from worker.profiles import model_server

FLASK = ("sklearn", "xgboost")
HTML = "text/html; charset=utf-8"
OUTER = "text/html"  # of gunicorn's own page


# ---------------------------------------------------------------- signatures


def _row(text: str) -> Any:
    return eval(text, {"functools": functools})


# What predict_fn(d, m) of this signature gives, or None where the call fails, on the toolkit and
# pytorch, on huggingface, and on sklearn and xgboost. C stands for the context.
SIGNATURES: dict[str, tuple[Any, Any, Any]] = {
    "lambda d, m: [d, m]": ("dm", "dm", "dm"),
    "lambda d, m=None: [d, m]": ("dm", "dm", "dm"),
    "functools.partial(lambda x, d, m: [d, m], 1)": ("dm", "dm", "dm"),
    "lambda d, m, context: [d, m, context]": ("dmC", "dmC", None),
    "lambda d, m, x=None: [d, m, x]": ("dmC", "dmC", "dmN"),
    "lambda d: [d]": (None, None, None),
    "lambda *a: list(a)": (None, None, "dm"),
    "lambda d, m, a=1, b=2: [d, m]": (None, None, "dm"),
    "lambda *a, **k: list(a)": ("dm", "dm", "dm"),
    "lambda d, *a: [d, *a]": ("dm", "dm", "dm"),
    "lambda d, m, *a: [d, m, *a]": ("dmC", "dmC", "dm"),
    "lambda d, m, **k: [d, m]": (None, None, "dm"),
    "lambda d, m, *, k=1: [d, m]": (None, None, "dm"),
    "functools.partial(lambda d, m, k: [d, m], k=1)": (None, None, "dm"),
}


def told(given: list[Any]) -> str:
    return "".join(
        "C" if isinstance(item, model_server.Context) else "N" if item is None else str(item)
        for item in given
    )


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("signature", SIGNATURES)
def test_row_of_the_signature_matrix(signature: str, stack: str) -> None:
    column = 1 if stack == "huggingface" else 2 if stack in FLASK else 0
    expected = SIGNATURES[signature][column]
    reply = served(
        stack,
        handler(
            model_fn=lambda model_dir: "m",
            input_fn=lambda body, content_type: "d",
            predict_fn=_row(signature),
            output_fn=lambda prediction, accept: told(prediction),
        ),
    )
    if expected is None:
        assert reply.status == (400 if stack == "huggingface" else 500)
    else:
        assert (reply.status, reply.body) == (200, expected.encode()), reply.reason


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("toolkit", "<lambda> takes 1 arguments but 2 were given."),
        ("huggingface", "<lambda> definition takes 2 or 3 arguments but 1 were given."),
    ],
)
def test_too_few_parameters_are_refused_in_the_stacks_words(stack: str, said: str) -> None:
    reply = served(stack, handler(predict_fn=lambda d: d))
    assert reply.reason == said


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("stack", STACKS)
def test_builtin_without_a_signature_and_coroutines(stack: str) -> None:
    async def later(d: Any, m: Any) -> Any:
        return d

    builtin = served(stack, handler(predict_fn=max), b"a")
    assert builtin.status == {"huggingface": 400}.get(stack, 200 if stack in FLASK else 500)

    def answered() -> int:
        status = served(stack, handler(predict_fn=later)).status
        gc.collect()
        return status

    with pytest.warns(RuntimeWarning, match="never awaited"):  # by no server
        status = answered()
    assert status == (500 if stack in FLASK else 503)


# ---------------------------------------------------------------- bodies and headers


BODIES: dict[str | None, tuple[str, str]] = {
    JSON: ("str", "str"),
    CSV: ("str", "str"),
    "application/json; charset=utf-8": ("bytearray", "bytes"),
    "APPLICATION/JSON": ("bytearray", "bytes"),
    "text/plain": ("bytearray", "bytes"),
    "application/x-npy": ("bytearray", "bytes"),
    "image/png": ("bytearray", "bytes"),
    "application/octet-stream": ("bytearray", "bytes"),
    None: ("bytearray", "str"),
    "application/x-www-form-urlencoded": ("NoneType", "bytes"),
    "application/x-www-form-urlencoded; charset=utf-8": ("NoneType", "bytes"),
    "APPLICATION/X-WWW-FORM-URLENCODED": ("NoneType", "bytes"),
    "multipart/form-data": ("bytearray", "bytes"),
    "multipart/form-data; boundary=x": ("NoneType", "bytes"),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("content_type", BODIES)
def test_body_and_content_type_arrive(content_type: str | None, stack: str) -> None:
    functions = handler(input_fn=lambda body, kind: f"{type(body).__name__} {kind}")
    reply = served(stack, functions, b"[1]", content_type)
    wanted = JSON if content_type is None and stack in FLASK else content_type
    assert reply.body == f"{BODIES[content_type][stack in FLASK]} {wanted}".encode()


FORM = "application/x-www-form-urlencoded"
PARTED = (
    b'--x\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n'
    b"Content-Type: text/csv\r\n\r\n1,2\r\n\r\n--x--\r\n"
)
# What the model servers hand over of a form, as seen on live servers.
FORMS: list[tuple[str, bytes, bytes | None]] = [
    (FORM, b"1,2", None),
    (FORM, b"body=hello&z=1", b"hello"),
    (FORM, b"z=1&body=a%2Cb+c", b"a,b c"),
    (FORM, b"body", b""),
    (FORM, b"body=1&body=2", b"2"),
    (FORM + "; charset=utf-8", b"body=1", b"1"),
    ("multipart/form-data; boundary=x", PARTED, b"1,2\r\n"),
    ('Multipart/Form-Data; charset=utf-8; Boundary="x"', PARTED, b"1,2\r\n"),
    ("multipart/form-data; boundary=x", PARTED.replace(b'"body"', b'"file"'), None),
    ("multipart/form-data; boundary=y", PARTED, None),
    ("multipart/form-data; boundary=x", b"1,2", None),
    ("multipart/form-data", PARTED, PARTED),
]


@pytest.mark.parametrize("stack", ["toolkit", "pytorch", "huggingface"])
@pytest.mark.parametrize(("content_type", "body", "arrives"), FORMS)
def test_form_is_taken_apart(
    content_type: str, body: bytes, arrives: bytes | None, stack: str
) -> None:
    functions = handler(input_fn=lambda body, kind: repr(body))
    expected = None if arrives is None else bytearray(arrives)
    assert served(stack, functions, body, content_type).body == repr(expected).encode()


@pytest.mark.parametrize("stack", STACKS)
def test_body_that_is_not_unicode(stack: str) -> None:
    reply = served(stack, handler(), b"\xff", JSON)
    assert reply.status == (200 if stack in FLASK else 400 if stack == "huggingface" else 500)
    if stack in FLASK:
        assert reply.body == "\ufffd".encode()


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    "accept", [None, "", "*/*", CSV, "text/csv, application/json", "*/*;q=0.8", "TEXT/CSV"]
)
def test_accept_arrives(accept: str | None, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/html")
    functions = handler(output_fn=lambda prediction, accept: accept)
    default = JSON if stack == "huggingface" else "text/html"
    wanted = default if accept in (None, "", "*/*") else accept
    assert served(stack, functions, accept=accept).body == (wanted or "").encode()


# ---------------------------------------------------------------- answers


PAGE = (500, HTML, None)
INDENTED = {"a": [1, 2]}
# What a client sees of a returned value: on the toolkit, on huggingface, on sklearn and xgboost.
# A body of None is not looked at.
ANSWERS: list[tuple[str, Any, Any, Any, Any]] = [
    ("text", "str", (200, JSON, b"str"), None, (200, HTML, b"str")),
    ("bytes", b"\0\xff", (200, JSON, b"\0\xff"), None, (200, HTML, b"\0\xff")),
    (
        "dict",
        {"b": 1, "a": [1, 2]},
        (200, JSON, json.dumps({"b": 1, "a": [1, 2]}, indent=2).encode()),
        None,
        (200, JSON, b'{"a":[1,2],"b":1}\n'),
    ),
    ("list", ["x", "y"], (200, JSON, b'[\n  "x",\n  "y"\n]'), None, (200, JSON, b'["x","y"]\n')),
    ("none", None, (200, JSON, b"null"), None, PAGE),
    ("float64", numpy.float64(1.5), (200, JSON, b"1.5"), None, PAGE),
    ("float32", numpy.float32(1.5), "unsupported", None, PAGE),
    ("array", numpy.arange(2), "unsupported", None, PAGE),
    (
        "nan",
        {"a": float("nan")},
        (200, JSON, b'{\n  "a": NaN\n}'),
        None,
        (200, JSON, b'{"a":NaN}\n'),
    ),
    (
        "tuple",
        ("body", "text/plain", 201),
        (200, "text/plain", b"body"),
        (200, JSON, b'[\n  "body",\n  "text/plain",\n  201\n]'),
        (200, "text/plain; charset=utf-8", b"body"),
    ),
    ("one", ("body",), (500, None, None), (200, JSON, b'[\n  "body"\n]'), PAGE),
    ("status", ("body", 200), "died", (200, JSON, b'[\n  "body",\n  200\n]'), PAGE),
    (
        "no type",
        ("body", None),
        "died",
        (200, JSON, b'[\n  "body",\n  null\n]'),
        (200, JSON, b"body"),
    ),
    ("set", {1}, "unsupported", None, PAGE),
]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: row[0])
def test_what_a_client_sees_of_a_value(row: tuple[Any, ...], stack: str) -> None:
    _, value, toolkit, huggingface, flask = row
    reply = served(stack, returning(value))
    expected = flask if stack in FLASK else toolkit
    if stack == "huggingface" and huggingface is not None:
        expected = huggingface
    if expected in ("died", "unsupported"):
        seen = envelope(
            *{"died": (500, "Worker died."), "unsupported": (503, UNSUPPORTED)}[expected]
        )
        assert reply.worker_died is (expected == "died")
        expected = (seen.status, seen.content_type, seen.body)
    assert (reply.status, reply.content_type) == expected[:2]
    assert expected[2] is None or reply.body == expected[2]


UNSUPPORTED = "Unsupported model output data type."


@pytest.mark.parametrize("stack", STACKS)
def test_response_object_of_werkzeug(stack: str) -> None:
    Response = type(
        "Response",
        (),
        {
            "__module__": "werkzeug.wrappers.response",
            "status_code": 418,
            "headers": {"Content-Type": "text/x"},
            "response": [b"te", "a"],
        },
    )
    own = type("Own", (Response,), {"__module__": "inference"})
    for kind in (Response, own):
        reply = served(stack, returning(kind()))
        expected = (418, "text/x", b"tea") if stack in FLASK else (503, JSON, None)
        assert (reply.status, reply.content_type) == expected[:2]
        assert expected[2] is None or reply.body == expected[2]


# What a client gets of (this, accept) on sklearn and xgboost, as seen on gunicorn 27.0.1 with
# gevent and Flask 3.1.3: the body; OUTER for gunicorn's page; None for a connection that is cut
# after the status line.
BODIES_OF_FLASK: dict[str, Any] = {
    "numpy.array([1.5, 2.5])": None,
    "numpy.zeros((2, 2))": None,
    "numpy.array([['x', 'y']])": None,
    "numpy.array([b'ab', b'c'])": b"abc",
    "numpy.array(['x', 'y'])": b"xy",
    "numpy.array([])": b"",
    "[1, 2]": OUTER,
    "[[1]]": None,
    "5": OUTER,
    "numpy.float64(1.5)": OUTER,
    "iter([1])": None,
    "{1, 2}": None,
    "range(2)": None,
    "bytearray(b'ab')": None,
    "[bytearray(b'ab')]": None,
    "memoryview(b'ab')": None,
    "['a', b'b']": b"ab",
    "[b'a', 1]": OUTER,
    "iter(['a', 1])": None,
    "(part for part in [b'a'])": b"a",
    "(1 / 0 for part in [1])": OUTER,
    "(b'a' if part else 1 / 0 for part in [1, 0])": None,
    "None": b"",
    "[]": b"",
    "{'ab': 1, 'c': 2}": b"abc",
    "['\\ud800']": OUTER,
}


@pytest.mark.parametrize("stack", FLASK)
@pytest.mark.parametrize("value", BODIES_OF_FLASK)
def test_body_that_gunicorn_cannot_send(value: str, stack: str) -> None:
    body = eval(value, {"numpy": numpy})
    reply = served(stack, returning((body, CSV)))
    expected = BODIES_OF_FLASK[value]
    if expected is None:
        assert (reply.status, reply.body) == (None, None)
        assert "cut after the status line" in (reply.reason or "")
        assert not reply.worker_died
    elif expected == OUTER:
        assert (reply.status, reply.content_type) == (500, OUTER)
    else:
        assert (reply.status, reply.content_type) == (200, CSV + "; charset=utf-8")
        assert reply.body == expected


@pytest.mark.parametrize("stack", FLASK)
def test_bare_bytearray_and_iterator_are_cut(stack: str) -> None:
    assert served(stack, returning(bytearray(b"ab"))).status is None
    assert served(stack, returning(iter([numpy.int64(1)]))).status is None
    assert served(stack, returning(iter([b"a", "b"]))).body == b"ab"


def with_context(use: Callable[[Any], object], answer: Any = "x") -> dict[str, Any]:
    def output_fn(prediction: Any, accept: str, context: Any) -> Any:
        use(context)
        return answer

    return handler(output_fn=output_fn)


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
@pytest.mark.parametrize(
    ("name", "sent"), [("Content-Type", "text/foo"), ("CONTENT-TYPE", JSON), ("content-type", JSON)]
)
def test_content_type_set_as_a_header(name: str, sent: str, stack: str) -> None:
    """The toolkit sets its own after it; which of the two is sent last is Java's affair."""
    functions = with_context(lambda context: context.set_response_header(0, name, "text/foo"))
    assert served(stack, functions).content_type == sent


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
@pytest.mark.parametrize(
    "use",
    [
        lambda context: context.set_response_header(0, "X A", "v"),
        lambda context: context.set_response_header(0, "X-A", "a\nb"),
        lambda context: context.set_response_header(0, "\u00e9", "v"),
        lambda context: context.set_response_status(404, "a\nb"),
    ],
)
def test_head_that_the_server_cannot_write(use: Callable[[Any], object], stack: str) -> None:
    reply = served(stack, with_context(use))
    if stack == "pytorch":
        assert (reply.status, reply.worker_died) == (500, True)
    else:
        assert reply.status is None
        assert "waits until the client gives up" in (reply.reason or "")


def test_later_of_two_content_types_in_one_place_of_a_hash_map_is_sent() -> None:
    def use(context: Any) -> None:
        context.set_response_header(0, "content-Type", "first/x")
        context.set_response_header(0, "CONTENT-type", "second/x")

    assert served("toolkit", with_context(use)).content_type == "second/x"


def test_part_of_a_class_of_its_own_is_sent_as_bytes() -> None:
    kind = type("Own", (bytes,), {"__len__": lambda self: 1 // 0})
    for value in ((kind(b"abc"), CSV), ([b"a", "b"], CSV)):
        body = served("sklearn", returning(value)).body
        assert type(body) is bytes


def test_blanks_around_a_content_type_are_none_of_it() -> None:
    for stack in ("toolkit", "pytorch", "sklearn"):
        assert (served(stack, returning(("b", " image/png "))).content_type) == "image/png"


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
def test_content_type_with_a_line_break(stack: str) -> None:
    assert served(stack, returning(("b", "a\nb"))).status == (500 if stack == "pytorch" else None)


@pytest.mark.parametrize("stack", ["toolkit", "huggingface", "pytorch"])
@pytest.mark.parametrize(
    ("status", "body"), [(150, b""), (204, b""), (205, b""), (304, b""), (201, b"x")]
)
def test_status_without_a_body(status: int, body: bytes, stack: str) -> None:
    functions = with_context(lambda context: context.set_response_status(status, "P"))
    reply = served(stack, functions)
    assert (reply.status, reply.body) == (status, body)


@pytest.mark.parametrize("stack", ["toolkit", "huggingface", "pytorch"])
def test_request_processor_tells_of_the_response(stack: str) -> None:
    def tell(context: Any) -> None:
        processor = context.request_processor[0]
        processor.report_status(201, "Made")
        processor.add_response_property("X-A", "b")
        told = processor.get_response_status_code(), processor.get_response_status_phrase()
        assert told == (201, "Made")
        assert processor.get_response_header("X-A") == "b"
        assert context.metrics.store == []
        assert context.manifest is None
        with pytest.raises(IndexError):
            context.set_response_header(1, "X-A", "b")

    assert served(stack, with_context(tell)).status == 201


def test_tensor_is_saved_on_torchserve_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = type("torch", (), {"save": staticmethod(lambda value, file: file.write(b"saved"))})
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    tensor = type("Tensor", (), {"__module__": "torch"})()
    assert served("pytorch", returning(tensor)).body == b"saved"
    assert served("toolkit", returning(tensor)).status == 503
    assert served("huggingface", returning(tensor)).status == 503
    assert served("sklearn", returning(tensor)).status == 500


class Refusal(BaseInferenceToolkitError):
    """As a handler would write it."""


# What a client sees of an exception: status and the beginning of the body, on the toolkit and
# pytorch, and the message on huggingface.
RAISED: list[tuple[BaseException, Any, str | None]] = [
    (ValueError("bad\nvalue"), (500, "bad\nvalue\nTraceback (most"), "bad\nvalue"),
    (ValueError(), (500, "Invalid Request\nTraceback (most"), ""),
    (ValueError("na\u00efve"), "died", "na\u00efve"),
    (Refusal(422, "m", "P"), (422, "m\nTraceback (most"), "(422, 'm', 'P')"),
    (MemoryError(), (500, "Invalid Request\n"), ""),
    (SystemExit(1), "died", None),
    (KeyboardInterrupt(), "died", None),
]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("row", RAISED, ids=lambda row: repr(row[0]))
def test_what_a_client_sees_of_an_exception(row: tuple[Any, ...], stack: str) -> None:
    error, toolkit, message = row
    reply = served(stack, handler(predict_fn=raising(error)))
    body = (reply.body or b"").decode()
    if stack in FLASK:
        ends = isinstance(error, SystemExit)
        outer = OUTER if isinstance(error, KeyboardInterrupt) else HTML  # Flask catches Exception
        assert reply.status == (None if ends else 500)
        assert reply.content_type == (None if ends else outer)
        assert str(error) not in body or not str(error)
    elif stack == "huggingface" and message is not None:
        assert (reply.status, reply.content_type, reply.body) == _seen(400, message)
    elif toolkit == "died" or message is None:
        assert (reply.status, reply.content_type, reply.body) == _seen(500, "Worker died.")
        assert reply.worker_died
    else:
        assert (reply.status, reply.content_type) == (toolkit[0], None)
        assert body.startswith(toolkit[1])


def _seen(code: int, message: str) -> tuple[Any, ...]:
    seen = envelope(code, message)
    return seen.status, seen.content_type, seen.body


@pytest.mark.parametrize("stack", ["toolkit", "pytorch", "huggingface"])
def test_response_over_the_servers_limit_and_its_override(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = returning(b"x" * 6_553_500)
    assert served(stack, most).status == 200
    more = served(stack, returning(b"x" * 6_553_501))
    assert (more.status, more.worker_died, more.oversize_bytes) == (500, True, 6_553_501)
    monkeypatch.setenv("TS_MAX_RESPONSE_SIZE", "7000000")
    assert served(stack, returning(b"x" * 6_553_501)).status == (200 if stack == "pytorch" else 500)
    monkeypatch.setenv("MMS_MAX_RESPONSE_SIZE", "7000000")
    assert served(stack, returning(b"x" * 6_553_501)).status == 200


@pytest.mark.parametrize("stack", FLASK)
def test_response_of_any_size_under_gunicorn(stack: str) -> None:
    assert served(stack, returning(b"x" * 6_553_501)).status == 200


# ---------------------------------------------------------------- loading


def test_load_failures() -> None:
    def failing(model_dir: Any) -> Any:
        raise ValueError("no model")

    def leaving(model_dir: Any) -> Any:
        raise SystemExit(3)

    seen = {stack: served(stack, handler(model_fn=failing)) for stack in STACKS}
    assert {stack: reply.status for stack, reply in seen.items()} == {
        "toolkit": 500,
        "pytorch": None,
        "huggingface": 400,
        "sklearn": 500,
        "xgboost": 500,
    }
    assert (seen["toolkit"].body or b"").startswith(b"no model\nTraceback")
    assert seen["sklearn"].content_type == "text/html"
    for stack in STACKS:
        left = served(stack, handler(model_fn=leaving))
        assert left.status is None
        assert left.reason


@pytest.mark.parametrize("stack", STACKS)
def test_transform_fn_beside_another_cannot_be_loaded(stack: str) -> None:
    functions = {"transform_fn": lambda m, b, c, a: b, "predict_fn": lambda d, m: d}
    with pytest.raises((ValueError, Exception), match="Cannot use transform_fn implementation"):
        profiles.profile(stack)(type("module", (), functions))


@pytest.mark.parametrize("stack", ["toolkit", "pytorch"])
def test_model_is_prepared_and_warmed(stack: str) -> None:
    order: list[Any] = []
    functions = handler(
        pre_model_fn=lambda model_dir: order.append(("before", model_dir)),
        model_fn=lambda model_dir: order.append("load") or "model",
        model_warmup_fn=lambda model_dir, model, context: order.append((model, type(context))),
    )
    assert served(stack, functions).status == 200
    assert order == [("before", "/models"), "load", ("model", model_server.Context)]


@pytest.mark.parametrize("stack", ["huggingface", *FLASK])
def test_model_is_not_warmed_elsewhere(stack: str) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError

    functions = handler(pre_model_fn=never, model_warmup_fn=never)
    assert served(stack, functions).status == 200


@pytest.mark.parametrize("stack", ["toolkit", "pytorch", "huggingface"])
def test_functions_of_a_request_share_its_context(stack: str) -> None:
    def predict_fn(data: Any, model: Any, context: Any) -> Any:
        context.set_response_status(404, "Gone")
        context.set_response_header(0, "X-Own", "yes")
        return data

    assert served(stack, handler(predict_fn=predict_fn)).status == 404
