"""Writes its results to a file on a device that is full."""

import os


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    os.symlink("/dev/full", "results.csv")
    with open("results.csv", "w") as file:
        file.write("1,2,3")
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
