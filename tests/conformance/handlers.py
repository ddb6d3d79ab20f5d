"""Handlers and requests, generated: signatures, values, exceptions and headers of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.conformance.sides import Request

TOP = """
import json
import math
import numpy
from sagemaker_inference.errors import BaseInferenceToolkitError

class Refusal(BaseInferenceToolkitError):
    pass

class Half(BaseInferenceToolkitError):
    def __init__(self):
        pass

class Rude(Exception):
    def __str__(self):
        raise ValueError("no text")

def tell(given):
    return [
        [type(value).__name__, repr(value)]
        if isinstance(value, (str, bytes, bytearray, int, type(None)))
        else type(value).__name__ if not hasattr(value, "system_properties")
        else ["context", *map(value.get_all_request_header(0).get, ("Content-Type", "Accept"))]
        for value in given.values()
    ]

def act(given, status, phrase):
    for value in given.values():
        if hasattr(value, "system_properties"):
            value.set_response_status(status, phrase)
"""
ARITY = {
    "model_fn": 1,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "model_warmup_fn": 2,
}
ODD = (
    *("", "a", "*a", "a, *b", "*a, **k", "a, b, *c", "a, b, **k", "a, b, *, k=1"),
    *("a, b, c=1, d=2", "a, b, c, d", "a, b=1", "a, b, c=None", "a, /, b", "a, b, c, d, e"),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "bad\nvalue", "a\r\nb", "naïve", "<b>&'=", "\u2028", "\ud800", "\x00", "日本"]
    ),
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def _spelled(value: object) -> str:
    return repr(value).replace("nan", "math.nan").replace("inf", "math.inf")


PLAIN = st.one_of(
    TEXTS.map(repr),
    st.binary(max_size=12).map(repr),
    st.binary(max_size=12).map(lambda data: f"bytearray({data!r})"),
    JSONS.map(_spelled),
    st.sampled_from(
        [
            *(
                "{1}",
                "object()",
                "lambda: 1",
                "math.nan",
                "{1: 2}",
                "{(1, 2): 3}",
                "1j",
                "range(3)",
            ),
            *("numpy.float64(1.5)", "numpy.float32(1.5)", "numpy.int64(3)", "numpy.arange(3)"),
            *(
                "numpy.zeros((2, 2))",
                "{'a': numpy.arange(2)}",
                "numpy.bool_(True)",
                "b'\\x00\\xff'",
            ),
            *("(x for x in [1])", "tell(locals())", "json.dumps(tell(locals()))", "b'x' * 100"),
        ]
    ),
)
TYPES = st.sampled_from(
    ["'text/plain'", "'application/json'", "200", "None", "''", "b'a/b'", "'naïve'", "'a/b; c=d'"]
)
TUPLES = st.one_of(
    st.tuples(PLAIN, TYPES).map(lambda pair: f"({pair[0]}, {pair[1]})"),
    st.tuples(PLAIN, TYPES).map(lambda pair: f"({pair[0]}, {pair[1]}, 201)"),
    PLAIN.map(lambda value: f"({value},)"),
)
ERRORS = st.one_of(
    st.builds(
        lambda kind, text: f"{kind}({text!r})",
        st.sampled_from(["ValueError", "KeyError", "RuntimeError", "OSError", "TypeError"]),
        TEXTS,
    ),
    st.builds(
        lambda status, text, phrase: f"Refusal({status}, {text!r}, {phrase})",
        st.sampled_from([400, 403, 422, 503]),
        TEXTS,
        st.one_of(TEXTS.map(repr), st.sampled_from(["None", "5", "'Bad\\nthing'"])),
    ),
    st.sampled_from(
        [
            *("ValueError()", "MemoryError()", "SystemExit(3)", "KeyboardInterrupt()", "Half()"),
            *(
                "Rude()",
                "StopIteration()",
                "ValueError(1, 2)",
                "UnicodeDecodeError('a', b'', 0, 1, 'x')",
            ),
        ]
    ),
)


def _once_in(number: int) -> st.SearchStrategy[bool]:
    return st.sampled_from([False] * (number - 1) + [True])


@st.composite
def functions(draw: st.DrawFn, name: str, values: st.SearchStrategy[str]) -> str:
    """Make the source of one function: most have a usual signature and return something."""
    usual = ", ".join("abcd"[: ARITY.get(name, 1)])
    signature, act = usual, ""
    if draw(_once_in(5)):
        signature = usual + ", context"
        if draw(_once_in(2)):
            status = draw(st.sampled_from([200, 201, 404, 500, "'200'", None]))
            act = f"    act(locals(), {status}, {draw(st.sampled_from(['', 'OK', 'naïve']))!r})\n"
    elif draw(_once_in(10)):
        signature = draw(st.sampled_from(ODD))
    end = f"    return {draw(values)}\n"
    if draw(_once_in(8)):
        end = f"    raise {draw(ERRORS)}\n"
        if draw(_once_in(3)):
            caught = f"    except Exception as e:\n        raise {draw(ERRORS)} from e\n"
            end = f"    try:\n    {end}{caught}"
    kind = "async def" if draw(_once_in(40)) else "def"
    return f"{kind} {name}({signature}):\n{act}{end}"


OUTPUTS = st.one_of(PLAIN, TUPLES)
INNER = {
    "model_fn": st.sampled_from(["2", "[1]", "None", "{'k': 1}"]),
    "input_fn": st.one_of(st.just("tell(locals())"), PLAIN),
    "predict_fn": st.one_of(
        st.just("tell(locals())"), st.just("list(locals().values())[0]"), PLAIN
    ),
    "output_fn": OUTPUTS,
    "transform_fn": OUTPUTS,
    "pre_model_fn": st.just("None"),
    "model_warmup_fn": st.just("None"),
}


STAGES = ("input_fn", "predict_fn", "output_fn")


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Make the source of a handler: most have what they need, some too much or too little."""
    names = [] if draw(_once_in(30)) else ["model_fn"]
    if draw(_once_in(4)):
        names.append("transform_fn")
        names += [name for name in STAGES if draw(_once_in(20))]
    else:
        names += [name for name in STAGES if not draw(_once_in(6))]
    names += [name for name in ("pre_model_fn", "model_warmup_fn") if draw(_once_in(8))]
    parts = [TOP]
    for name in names:
        if draw(_once_in(60)):
            parts.append(f"{name} = {draw(st.sampled_from(['None', '0', '[]', 'max', 'int']))}\n")
        else:
            parts.append(draw(functions(name, INNER[name])))
    if draw(_once_in(60)):
        broken = ["import no_such_module\n", "1 / 0\n", "raise SystemExit\n", "def\n"]
        parts.append(draw(st.sampled_from(broken)))
    return "\n".join(parts)


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\n5\r\n'
    b'--x\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n'
    b"Content-Type: text/csv\r\n\r\n1,2\r\n3,4\r\n--x--\r\n"
)
REQUESTS = st.builds(
    Request,
    body=st.one_of(
        st.sampled_from(
            [
                *(b"", b"1,2\n3,4", b"[[1, 2], [3, 4]]", b'{"a": 1}', b"\xff", b"a,b\n1,2", b"1"),
                *(
                    b"body=1%2C2+&z=1",
                    b"z&body&x=body",
                    MULTIPART,
                    MULTIPART.replace(b"body", b"file"),
                ),
                *("naïve".encode(), b"NaN", b"{", b"1,2\n3", b"\xef\xbb\xbf1", b"1,2.5\n3,4.5\n"),
            ]
        ),
        st.binary(max_size=20),
    ),
    content_type=st.sampled_from(
        [
            *("text/csv", "application/json", None, "text/plain", "application/x-npy"),
            *("application/json; charset=utf-8", "APPLICATION/JSON", "application/octet-stream"),
            *("application/x-www-form-urlencoded", "application/x-npz", "image/png"),
            *("Application/X-WWW-Form-URLEncoded; charset=utf-8", "multipart/form-data"),
            *("multipart/form-data; boundary=x", 'Multipart/Form-Data; boundary="x"'),
        ]
    ),
    accept=st.sampled_from(
        [
            *(
                "application/json",
                "text/csv",
                None,
                "*/*",
                "text/csv, application/json",
                "text/html",
            ),
            *("*/*;q=0.8", "application/x-npy", "unsupported/type, text/csv", "TEXT/CSV"),
        ]
    ),
    variables=st.sampled_from([{}, {}, {}, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}]),
)
