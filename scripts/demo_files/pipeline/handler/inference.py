"""The handler: scores from the model, made probabilities by the calibration."""

import csv
import io
import json
import os

import joblib
import numpy


def model_fn(model_dir):
    with open(os.path.join(model_dir, "features.json")) as file:
        features = json.load(file)
    with open(os.path.join(model_dir, "calibration", "calibration.json")) as file:
        curve = json.load(file)
    model = joblib.load(os.path.join(model_dir, "model.joblib"))
    return {"model": model, "features": features, "curve": curve}


def input_fn(body, content_type):
    if content_type == "text/csv":
        return numpy.array([[float(cell) for cell in row] for row in csv.reader(io.StringIO(body))])
    if content_type == "application/json":
        return json.loads(body)
    raise ValueError(f"unsupported content type: {content_type}")


def predict_fn(rows, model):
    if isinstance(rows, list):
        rows = numpy.array([[row[name] for name in model["features"]] for row in rows], dtype=float)
    scores = model["model"].predict_proba(rows)[:, 1]
    return numpy.interp(scores, model["curve"]["score"], model["curve"]["probability"])


def output_fn(probabilities, accept):
    if accept == "text/csv":
        return "".join(f"{value:.6f}\n" for value in probabilities), accept
    return json.dumps({"probabilities": probabilities.tolist()}), "application/json"
