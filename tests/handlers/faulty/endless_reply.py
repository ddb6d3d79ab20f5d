"""Finds the worker's channel and writes a line of 3 GB to it."""

import os

REPLIES_FD = 201


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    for _ in range(48_000):
        os.write(REPLIES_FD, b"x" * 62_500)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
