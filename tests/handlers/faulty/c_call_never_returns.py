"""Hangs in a C call that keeps the interpreter's lock."""

import ctypes


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    ctypes.PyDLL(None).sleep(3600)


def output_fn(prediction, accept):
    return str(prediction)
