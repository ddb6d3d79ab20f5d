"""Computes in a multiprocessing pool of the start method METHOD."""

import multiprocessing
import os


def double(value):
    return 2.0 * value


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    with multiprocessing.get_context(os.environ["METHOD"]).Pool(2) as pool:
        return sum(pool.map(double, data))


def output_fn(prediction, accept):
    return str(prediction)
