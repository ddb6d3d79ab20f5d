"""Finds the worker's channel and the request's id, and answers it twice."""

import json
import os
import sys

REPLIES_FD = 201


def request_id():
    """Look through the callers' variables for the request that is being answered."""
    frame = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            if isinstance(value, dict) and value.get("function") == "predict_fn":
                return value["id"]
        frame = frame.f_back
    raise LookupError("no request found")


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    value = {"type": "str", "module": "builtins"}
    forged = {"type": "returned", "id": request_id(), "value": value, "elapsed_s": 0.0}
    os.write(REPLIES_FD, 2 * (json.dumps(forged).encode() + b"\n"))
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
