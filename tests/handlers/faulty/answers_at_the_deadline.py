"""Answers after so many seconds as the request's first value says."""

import time


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    time.sleep(data[0])
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
