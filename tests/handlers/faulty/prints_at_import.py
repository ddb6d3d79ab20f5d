"""Prints while it is imported, with and without buffering."""

import os

print("printed at import")
os.write(1, b"written at import\n")


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
