"""Every message has a golden file, and both ends read and write exactly what is in it.

After a change of worker/protocol.py that is meant (docs/protocol.md first, and VERSION where an
older child would misunderstand): HANDLERPROOF_GOLDEN=write scripts/test tests/unit/test_protocol.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.runtime import wire
from worker import protocol

GOLDEN = Path(__file__).with_name("golden")
WORKER = Path(protocol.__file__).parent
MESSAGES = (
    *protocol.REQUESTS,
    *protocol.ORDERS,
    *protocol.REPLIES,
    *protocol.REPORTS,
    *protocol.WARM_ORDERS,
    *protocol.WARM_REPORTS,
)
FROM_A_CHILD = (
    *((kind, wire.decode_reply) for kind in protocol.REPLIES),
    *((kind, wire.decode_report) for kind in protocol.REPORTS),
    *((kind, wire.decode_template_report) for kind in protocol.WARM_REPORTS),
)

EXAMPLES = {
    str: 'naïve \u2028 "\\ \x00 \U0001f600',
    bool: True,
    int: 7,
    float: 0.25,
    object: {"any": [1, 2.5, True, None, "text", {"": []}]},
}

# The child's side, in a process that is started as a worker is: read each line with the child's
# codec, make the child's records of it, write them again.
CHILD = """
import sys
from importlib.machinery import SourceFileLoader

main = type(sys)("child")
main.__file__ = sys.argv[1] + "/__main__.py"
exec(compile(open(main.__file__).read(), main.__file__, "exec"), vars(main))
protocol, codec = main.load("protocol"), main.load("codec")

def record(kind, plain):
    kinds = {name: text.replace(" | None", "") for name, text in kind.__annotations__.items()}
    return kind(**{name: part(kinds[name], value) for name, value in plain.items()})

def part(text, value):
    if text.startswith("list["):
        return [part(text[5:-1], item) for item in value]
    kind = getattr(protocol, text, None)
    return value if kind is None or text == "Count" else record(kind, value)

for line in sys.stdin.buffer:
    name, _, line = line.partition(b" ")
    made = record(getattr(protocol, name.decode()), codec.decode(line.rstrip(b"\\n")))
    sys.stdout.buffer.write(codec.encode(protocol.plain(made)))
heavy = {"dataclasses", "pydantic", "typing", "json", "re", "inspect"} & set(sys.modules)
assert not heavy, heavy
"""


def name_of(kind: type) -> str:
    return kind.__name__.lower()


def path_of(kind: type) -> Path:
    return GOLDEN / f"{name_of(kind)}.json"


def example(kind: Any, name: str = "") -> Any:
    """Make a value of a type: with every field, of messages and of their parts."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return example(arguments[0], name)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return example(next(item for item in arguments if item is not type(None)), name)
    if origin is list:
        return [example(arguments[0], name), example(arguments[0], name)]
    if origin is dict:
        return {"NAME": example(arguments[1], name)}
    if kind in EXAMPLES:
        return f"{name}: {EXAMPLES[kind]}" if kind is str else EXAMPLES[kind]
    return kind(**{item: example(hint, item) for item, hint in hints(kind).items()})


def least(kind: Any) -> Any:
    """Make a message with the fields alone that it cannot do without."""
    return kind(**{item: example(hints(kind)[item], item) for item in needed_names(kind)})


def hints(kind: Any) -> dict[str, Any]:
    found = typing.get_type_hints(kind, include_extras=True)
    return {name: found[name] for name in protocol.field_names(kind)}


def lines_of(kind: type) -> list[bytes]:
    """Give the lines of a golden file, as they go over the wire."""
    found = json.loads(path_of(kind).read_text(encoding="utf-8"))
    return [json.dumps(item, separators=(",", ":")).encode() for item in found.values()]


def read(kind: type, line: bytes) -> Any:
    """Read a line with the real class, by the reader that the parent has for it if it has one."""
    decode = dict(FROM_A_CHILD).get(kind, TypeAdapter(kind).validate_json)
    return decode(line)


@pytest.mark.parametrize("kind", MESSAGES, ids=name_of)
def test_golden_file_is_what_the_message_is(kind: Any) -> None:
    plain = {"full": protocol.plain(example(kind)), "least": protocol.plain(least(kind))}
    if os.environ.get("HANDLERPROOF_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path_of(kind).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    assert list(plain["full"]) == protocol.field_names(kind)
    assert json.loads(path_of(kind).read_text(encoding="utf-8")) == plain


def test_there_is_no_golden_file_of_another_message() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(map(name_of, MESSAGES))


@pytest.mark.parametrize("kind", MESSAGES, ids=name_of)
def test_parent_reads_and_writes_the_golden_lines(kind: Any) -> None:
    full, small = lines_of(kind)
    assert (read(kind, full), read(kind, small)) == (example(kind), least(kind))
    for line in (full, small):
        assert wire.encode(read(kind, line)) == line + b"\n"


def test_child_reads_and_writes_the_golden_lines() -> None:
    lines = [(kind, line) for kind in MESSAGES for line in lines_of(kind)]
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CHILD, str(WORKER)],
        input=b"".join(kind.__name__.encode() + b" " + line + b"\n" for kind, line in lines),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert child.stdout.split(b"\n")[:-1] == [line for _, line in lines]


@pytest.mark.parametrize("kind", [kind for kind, _ in FROM_A_CHILD], ids=name_of)
def test_parent_refuses_an_unknown_field_anywhere(kind: type) -> None:
    full = json.loads(lines_of(kind)[0])
    places = list(objects_in(full))
    for place in places:
        place["field_of_tomorrow"] = 1
        refuse(kind, json.dumps(full).encode(), "field_of_tomorrow")
        del place["field_of_tomorrow"]
    assert len(places) >= 1 + sum(isinstance(item, dict) for item in full.values())
    read(kind, json.dumps(full).encode())


@pytest.mark.parametrize("kind", [kind for kind, _ in FROM_A_CHILD], ids=name_of)
def test_parent_refuses_a_wrong_type_and_a_missing_field(kind: type) -> None:
    full = json.loads(lines_of(kind)[0])
    for name, value in full.items():
        for wrong in wrong_for(value):
            refuse(kind, json.dumps({**full, name: wrong}).encode(), name)
    for name in needed_names(kind):
        rest = {key: value for key, value in full.items() if key != name}
        refuse(kind, json.dumps(rest).encode(), name)


def wrong_for(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [1, "true", "yes", []]
    if isinstance(value, int):
        return [-1, 2**63, 10**4000, "7", 7.5, 1e400, float("nan"), True, [7]]
    if isinstance(value, float):
        return [-0.1, 1e9, "0.25", float("nan"), float("inf"), -float("inf"), True, [0.25]]
    if isinstance(value, str):
        return [7, True, ["text"], {"text": 1}, "\ud800"]
    if isinstance(value, list):
        return ["text", {}, 7, [*value, 10**4000]]
    return ["text", [], 7]


def needed_names(kind: Any) -> set[str]:
    return {
        item.name
        for item in fields(kind)
        if item.default is MISSING and item.default_factory is MISSING
    }


def objects_in(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects_in(item)


def refuse(kind: type, line: bytes, place: str) -> None:
    with pytest.raises(wire.Violation) as caught:
        read(kind, line)
    said = str(caught.value)
    assert len(said) < 600, "bounded, whatever came"
    assert place in said or "JSON" in said or "Input tag" in said, said


REFUSED = b'{"type":"refused","id":"a","reason":"why"}'
NOT_MESSAGES = {
    "nothing": b"",
    "blank": b"  ",
    "half a line": REFUSED[:-1],
    "more behind it": REFUSED + b" {}",
    "array": b"[" + REFUSED + b"]",
    "string": b'"refused"',
    "null": b"null",
    "no type": b'{"id":"a","reason":"why"}',
    "a request": b'{"type":"release","ids":[]}',
    "a report": b'{"type":"started","pid":1,"subreaper":true}',
    "a type that is no str": b'{"type":["refused"],"id":"a","reason":"why"}',
    "byte order mark": b"\xef\xbb\xbf" + REFUSED,
    "UTF-16": REFUSED.decode().encode("utf-16"),
    "invalid UTF-8": REFUSED.replace(b"why", b"wh\xff"),
    "surrogate as UTF-8": REFUSED.replace(b"why", b"\xed\xa0\x80"),
    "lone surrogate": REFUSED.replace(b"why", b"\\ud800"),
    "control character": REFUSED.replace(b"why", b"\x01"),
    "NaN": REFUSED.replace(b'"why"', b"NaN"),
    "Infinity": REFUSED.replace(b'"why"', b"-Infinity"),
    "single quotes": REFUSED.replace(b'"', b"'"),
    "depth 5000": REFUSED.replace(b'"why"', b"[" * 5000 + b"]" * 5000),
    "endless depth": b"[" * 1_000_000,
    "a number of 5000 digits": REFUSED.replace(b'"why"', b"9" * 5000),
}


@pytest.mark.parametrize("line", NOT_MESSAGES.values(), ids=NOT_MESSAGES)
def test_parent_refuses_what_is_no_message(line: bytes) -> None:
    for decode in (wire.decode_reply, wire.decode_report):
        if decode is wire.decode_report and b"started" in line:
            continue
        with pytest.raises(wire.Violation) as caught:
            decode(line)
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_parent_does_not_write_a_number_that_json_lacks(number: float) -> None:
    argument = protocol.Argument(kind="json", json=[{"deep": number}])
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.encode(protocol.Call(id="a", function="predict_fn", arguments=[argument]))


TEXTS = ["plain", 'quotes " and \\', "\x00\x1f\x7f\n", "naïve \u2028", "\U0001f600", "\udc80", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_calls_that_are_written_quickly_are_the_same(text: str) -> None:
    given = [
        protocol.Argument(kind="body", data=text, content_type=text),
        protocol.Argument(kind="kept", id=text),
        protocol.Argument(kind="bytes", at=0, size=2**62),
    ]
    call = protocol.Call(
        id=text, function="input_fn", arguments=given, accept=text, follows=True, forget=[text]
    )
    line = wire.encode(call)
    assert line.isascii()
    assert line.endswith(b"\n")
    assert json.loads(line) == protocol.plain(call)
    assert (wire._quickly(call) is None) is not text.isascii()


def test_values_of_any_kind_are_not_written_quickly() -> None:
    call = protocol.Call(id="1", function="model_fn", arguments=[])
    for value in (float("nan"), {1, 2}, b"bytes"):
        argument = protocol.Argument(kind="json", json=value)
        with pytest.raises((ValueError, TypeError)):
            wire.encode(dataclasses.replace(call, arguments=[argument]))
