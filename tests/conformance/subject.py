"""Our side of a comparison: the worker's own code, one request a line of JSON, as in `oracle.py`.

Each line is carried out in a forked copy that loads the handler and calls its functions just as a
worker does for the tester; only its start is spared. Run with the tests' own interpreter.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parents[2] / "worker" / "__main__.py"
# Once, for all copies; where they are not there, no default can use them.
PRELOADED = ("numpy", "scipy.sparse", "PIL.Image", "torch", "transformers.pipelines")


def worker() -> Any:
    """Load the worker's code under its private name."""
    spec = importlib.util.spec_from_file_location("worker_main", WORKER)
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    return main.load("calls")


def answer(calls: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; give the response message as it would go to the tester."""
    os.environ.update(asked["variables"])
    at = calls.Worker()
    loaded = at.answer(
        {
            "type": "load",
            "id": "load",
            "module": "inference",
            "stack": asked["stack"],
            "model_dir": asked["directory"],
            "sys_path": [asked["directory"]],
            "handler_roots": [asked["directory"]],
            "max_response_bytes": 2**27,
        }
    )
    if loaded.type != "loaded":
        return told(loaded)
    for function, arguments in plan(loaded, asked):
        reply = at.answer(
            {
                "type": "call",
                "id": function,
                "function": function,
                "arguments": arguments,
                "content_type": asked["content_type"],
                "accept": asked["accept"],
                "body_bytes": len(base64.b64decode(asked["body"])),
            }
        )
        if reply.type != "returned":
            break
    return told(reply)


def plan(loaded: Any, asked: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """List the calls of one request, with their arguments as the tester sends them."""
    body = [
        {"kind": "body", "data": asked["body"], "content_type": asked["content_type"]},
        {"kind": "content_type", "content_type": asked["content_type"]},
    ]
    accept = {"kind": "accept", "accept": asked["accept"]}
    model = ("model_fn", [{"kind": "json", "json": asked["directory"]}])
    if any(item.name == "transform_fn" and item.defined for item in loaded.functions):
        return [model, ("transform_fn", [kept("model_fn"), *body, accept])]
    return [
        model,
        ("input_fn", body),
        ("predict_fn", [kept("input_fn"), kept("model_fn")]),
        ("output_fn", [kept("predict_fn"), accept]),
    ]


def kept(name: str) -> dict[str, Any]:
    return {"kind": "kept", "id": name}


def told(reply: Any) -> dict[str, Any]:
    if reply.response is None:
        return {"none": repr(reply.__dict__)[:500]}
    response = reply.response
    return {name: getattr(response, name) for name in type(response).__annotations__}


def serve() -> None:
    """Answer every line until the last, each in a copy of this process."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    calls = worker()
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                said = answer(calls, json.loads(line))
            except BaseException as error:
                said = {"none": f"{type(error).__name__}: {error}"}
            with os.fdopen(answers, "w") as stream:
                stream.write(json.dumps(said) + "\n")
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    serve()
