"""Has a json.py and a signal.py of its own beside it, and uses them."""

import json
import signal


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert json.OWNER == signal.OWNER == "handler", (json, signal)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
