"""A plain function is described without `inspect` as it is with it."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import signatures

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
ANNOTATIONS = st.sampled_from(["", ": int", ": 'np.ndarray'", ": list[int]", ": None", ": [1]"])


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Write a function of every kind, with parameters of every kind."""
    names = draw(NAMES)
    cuts = sorted(draw(st.lists(st.integers(0, len(names)), min_size=2, max_size=2)))
    groups = names[: cuts[0]], names[cuts[0] : cuts[1]], names[cuts[1] :]
    defaults = draw(st.integers(0, cuts[1]))
    parts: list[str] = []
    for number, name in enumerate((*groups[0], *groups[1])):
        default = " = None" if number >= defaults else ""
        parts.append(f"{name}{draw(ANNOTATIONS)}{default}")
    if groups[0]:
        parts.insert(len(groups[0]), "/")
    rest = draw(st.booleans())
    if rest:
        parts.append(f"*rest{draw(ANNOTATIONS)}")
    elif groups[2]:
        parts.append("*")
    parts += [
        f"{name}{draw(ANNOTATIONS)}{draw(st.sampled_from(['', ' = 1']))}" for name in groups[2]
    ]
    if draw(st.booleans()):
        parts.append(f"**more{draw(ANNOTATIONS)}")
    kind = draw(st.sampled_from(["def", "async def"]))
    body = draw(st.sampled_from(["local = 1", "yield 1", "return 1"]))
    if kind == "async def" and body == "yield 1" and draw(st.booleans()):
        body = "await None"
    return f"{kind} function({', '.join(parts)}):\n    {body}\n"


def described(function: Any) -> tuple[Any, ...]:
    try:
        count: Any = signatures.count(function)
    except Exception as error:
        count = repr(error)
    return signatures.parameters_of(function), signatures.style_of(function), count


def by_inspect(function: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(signatures, "_is_plain", lambda function: False)
        return described(function)


@given(sources())
def test_plain_functions_are_described_as_inspect_describes_them(source: str) -> None:
    scope: dict[str, Any] = {}
    exec(compile(source, "handler", "exec", dont_inherit=True), scope)
    function = scope["function"]
    assert signatures._is_plain(function)
    with pytest.MonkeyPatch.context() as patch:
        assert described(function) == by_inspect(function, patch)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def with_signature(a: int, b: int) -> None:
    """Say another signature than its own."""


with_signature.__signature__ = inspect.Signature()  # type: ignore[attr-defined]


class Callables:
    def method(self, body: bytes, content_type: str) -> None: ...

    async def __call__(self, body: bytes) -> None: ...


@pytest.mark.parametrize(
    ("function", "count", "style"),
    [
        (decorated(lambda a, b: None), 2, "plain"),
        (functools.partial(lambda a, b, c: None, 1), 2, "plain"),
        (with_signature, 0, "plain"),
        (Callables().method, 2, "plain"),
        (Callables(), 1, "async"),
        (Callables, 0, "plain"),
        (len, 1, "plain"),
    ],
)
def test_whatever_else_can_be_called_is_left_to_inspect(
    function: Any, count: int, style: str
) -> None:
    parameters = signatures.parameters_of(function)
    assert parameters is not None
    assert (len(parameters), signatures.count(function)) == (count, count)
    assert signatures.style_of(function) == style


LOADS = """
import sys
package = type(sys)("own")
package.__path__ = [{folder!r}]
sys.modules["own"] = package
from own import late
late.load_where_shadowed({names!r})
print(sorted({{"inspect", "json", "pickle", "traceback"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("names", "loaded"),
    [
        (set(), []),
        ({"inference"}, []),
        ({"inference", "dis"}, ["inspect", "json", "pickle", "traceback"]),
    ],
)
def test_what_is_late_is_loaded_before_a_module_of_the_handlers_can_stand_for_it(
    names: set[str], loaded: list[str], pytestconfig: pytest.Config
) -> None:
    code = LOADS.format(folder=str(pytestconfig.rootpath / "worker"), names=names)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(loaded)
