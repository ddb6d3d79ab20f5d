"""Sleeps for an hour in predict_fn."""

import time


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    time.sleep(3600)


def output_fn(prediction, accept):
    return str(prediction)
