"""Hangs on the first value 13, and would answer it soon after the limit."""

import time


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    if data[0] == 13.0:
        time.sleep(1.2)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
