"""Never has its model loaded."""

import time


def model_fn(model_dir):
    time.sleep(3600)


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
