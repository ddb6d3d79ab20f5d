"""Stops its own process with SIGSTOP."""

import os
import signal


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    os.kill(os.getpid(), signal.SIGSTOP)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
