"""Imports PACKAGES: large ones, with many threads and more address space than memory."""

import importlib
import os

for name in os.environ["PACKAGES"].split():
    importlib.import_module(name)


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
