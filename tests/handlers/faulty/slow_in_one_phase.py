"""Takes IMPORT_S seconds to import and CALL_S in each function."""

import os
import time

time.sleep(float(os.environ["IMPORT_S"]))


def slowly(value):
    time.sleep(float(os.environ["CALL_S"]))
    return value


def model_fn(model_dir):
    return slowly(2.0)


def input_fn(body, content_type):
    return slowly([float(cell) for cell in body.split(",")])


def predict_fn(data, model):
    return slowly(model * sum(data))


def output_fn(prediction, accept):
    return slowly(str(prediction))
