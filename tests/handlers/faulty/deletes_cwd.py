"""Deletes the directory that it runs in, which is its model_dir."""

import os
import shutil


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    shutil.rmtree(os.getcwd())
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
