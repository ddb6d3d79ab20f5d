"""A linear model in numpy: weights in an npz file, rows as npy, CSV or JSON."""

import io
import json
import os

import numpy


def model_fn(model_dir):
    with numpy.load(os.path.join(model_dir, "weights.npz")) as file:
        return {name: file[name] for name in file.files}


def input_fn(body, content_type):
    if content_type == "application/x-npy":
        return numpy.load(io.BytesIO(body), allow_pickle=False)
    if content_type == "application/json":
        return numpy.array(json.loads(body)["rows"], dtype=float)
    if content_type == "text/csv":
        return numpy.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)
    raise ValueError("unsupported content type: " + str(content_type))


def predict_fn(rows, model):
    return rows @ model["weights"] + model["bias"]


def output_fn(predictions, accept):
    if accept == "application/x-npy":
        file = io.BytesIO()
        numpy.save(file, predictions)
        return file.getvalue(), accept
    if accept == "text/csv":
        return "".join(f"{value:g}\n" for value in predictions), accept
    return json.dumps({"predictions": predictions.tolist()}), "application/json"
