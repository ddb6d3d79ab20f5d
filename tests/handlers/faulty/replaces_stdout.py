"""Puts None or a StringIO in the place of sys.stdout, as WITH says."""

import io
import os
import sys


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    sys.stdout = {"None": None, "StringIO": io.StringIO()}[os.environ["WITH"]]
    print("to nowhere")
    os.write(1, b"to the log\n")
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
