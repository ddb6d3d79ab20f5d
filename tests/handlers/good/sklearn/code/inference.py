"""A scikit-learn pipeline saved with joblib, one step of which is a function beside this file."""

import io
import json
import os

import joblib
import numpy
from features import COLUMNS


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type == "application/json":
        rows = [[row[name] for name in COLUMNS] for row in json.loads(body)]
    elif content_type == "text/csv":
        rows = numpy.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)
    else:
        raise ValueError("unsupported content type: " + str(content_type))
    return numpy.asarray(rows, dtype=float)


def predict_fn(rows, model):
    return model.predict_proba(rows)


def output_fn(probabilities, accept):
    if accept == "text/csv":
        return "".join(f"{no:.6f},{yes:.6f}\n" for no, yes in probabilities), accept
    return json.dumps({"probabilities": probabilities.tolist()}), "application/json"
