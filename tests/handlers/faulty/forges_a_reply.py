"""Finds the worker's channel and answers a request that nobody made."""

import json
import os

REPLIES_FD = 201


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    value = {"type": "str", "module": "builtins"}
    forged = {"type": "returned", "id": "forged", "value": value, "elapsed_s": 0.0}
    os.write(REPLIES_FD, json.dumps(forged).encode() + b"\n")
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
