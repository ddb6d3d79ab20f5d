"""Imports numpy and scikit-learn, whose address space is far above the limit."""

import numpy
import sklearn.ensemble


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert sklearn.ensemble.RandomForestRegressor is not None
    return float(model * numpy.asarray(data).sum())


def output_fn(prediction, accept):
    return str(prediction)
