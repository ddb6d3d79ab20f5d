"""Runs in an environment whose sitecustomize prints and marks itself."""

import sitecustomize


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert sitecustomize.RAN == 1
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
