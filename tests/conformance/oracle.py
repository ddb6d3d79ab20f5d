"""The real toolkit behind multi-model-server's own Python layer, one request a line of JSON.

Run by the interpreter of an environment that has them. A line names the handler's directory, its
variables and the request; the answer is what the server's frame says, or that there is none: then
the worker has died. What Java makes of the frame is not here.
"""

from __future__ import annotations

import base64
import email
import email.policy
import importlib
import json
import logging
import os
import struct
import sys
from typing import Any
from urllib.parse import parse_qsl

sys.dont_write_bytecode = True


class Dead(Exception):
    """The frame does not say what was put into it."""


class Frame:
    """Reads a response as the server does: every length counts bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def number(self) -> int:
        value: int = struct.unpack("!i", self.take(4))[0]
        return value

    def take(self, size: int) -> bytes:
        if size < 0 or self.place + size > len(self.data):
            raise Dead("the frame ends early")
        self.place += size
        return self.data[self.place - size : self.place]

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")

    def response(self) -> dict[str, Any]:
        told: dict[str, Any] = {"code": self.number(), "message": self.text()}
        self.text()  # the request's id
        told["content_type"] = self.text()
        told["status"], told["phrase"] = self.number(), self.text()
        for _ in range(self.number()):
            told[self.text()] = self.text()
        told["body"] = base64.b64encode(self.take(self.number())).decode()
        if self.number() != -1 or self.place != len(self.data):
            raise Dead("the frame is shifted")
        return told


def serve(make_service: Any) -> None:
    """Answer every line until the last."""
    first = dict(os.environ)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    path = list(sys.path)
    for line in sys.stdin:
        asked = json.loads(line)
        os.environ.clear()
        os.environ.update(first, **asked["variables"])
        sys.path[:] = [asked["directory"], *path]
        os.chdir(asked["directory"])
        sys.modules.pop("inference", None)
        importlib.invalidate_caches()
        try:
            service, load = make_service(asked["directory"])
            answer = loaded(service, load) or answered(service, asked)
        except BaseException as error:
            answer = {"died": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def loaded(service: Any, load: Any) -> dict[str, Any] | None:
    """Load the handler as the server does; tell when no worker is left to answer.

    multi-model-server swallows exceptions, TorchServe ends the worker over any.
    """
    try:
        load(service.context)
    except BaseException as error:
        if isinstance(error, Exception) and sys.argv[1] != "pytorch":
            return None
        return {"exits": repr(error)}
    return None


def answered(service: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Let the server's service predict, on the parameters that Java would hand over."""
    body = base64.b64decode(asked["body"])
    headers = {"Host": "localhost:8080", "Content-Length": str(len(body))}
    if asked["content_type"] is not None:
        headers["Content-Type"] = asked["content_type"]
    if asked["accept"] is not None:
        headers["Accept"] = asked["accept"]
    pseudo = (asked["content_type"] or "").partition(";")[0]
    parameters = [{"name": "body", "contentType": pseudo, "value": bytearray(body)}]
    fields = fields_of(body, asked["content_type"] or "")
    if fields is not None:
        parameters = [
            {"name": name, "contentType": "", "value": bytearray(value)} for name, value in fields
        ]
    request = {
        "requestId": b"0",
        "headers": [
            {"name": name.encode(), "value": bytearray(value.encode())}
            for name, value in headers.items()
        ],
        "parameters": parameters,
    }
    return Frame(bytes(service.predict([request]))).response()


def fields_of(body: bytes, content_type: str) -> list[tuple[str, bytes]] | None:
    """Take a form apart, as Java does; None for anything else."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        return [(name, value.encode("latin-1")) for name, value in pairs]
    if kind != "multipart/form-data" or "boundary=" not in content_type.lower():
        return None
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
    return [
        (str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True))
        for part in parts
    ]


def toolkit(directory: str) -> tuple[Any, Any]:
    """Make the base toolkit's service, and what loads its handler."""
    from sagemaker_inference.transformer import Transformer

    return of_transformer(Transformer(), directory)


def of_transformer(transformer: Any, directory: str) -> tuple[Any, Any]:
    """Put a transformer behind the server."""
    from mms.service import Service

    def load(context: Any) -> None:
        transformer.validate_and_initialize(directory, context)

    return Service("model", directory, {}, transformer.transform, None, 1), load


def huggingface(directory: str) -> tuple[Any, Any]:
    """Make the HuggingFace toolkit's service."""
    from mms.service import Service
    from sagemaker_huggingface_inference_toolkit.handler_service import HuggingFaceHandlerService

    handler = HuggingFaceHandlerService()
    return Service("model", directory, {}, handler.handle, None, 1), handler.initialize


def pytorch(directory: str) -> tuple[Any, Any]:
    """Make PyTorch's transformer, behind the layer that TorchServe's was made from."""
    from sagemaker_pytorch_serving_container.handler_service import HandlerService

    return of_transformer(HandlerService()._service, directory)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serve({"toolkit": toolkit, "huggingface": huggingface, "pytorch": pytorch}[sys.argv[1]])
