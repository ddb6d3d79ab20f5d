"""A linear model in plain Python: weights in a JSON file, rows as CSV or JSON."""

import csv
import io
import json
import os


def model_fn(model_dir):
    with open(os.path.join(model_dir, "weights.json")) as file:
        return json.load(file)


def input_fn(body, content_type):
    if content_type == "application/json":
        return json.loads(body)["rows"]
    if content_type == "text/csv":
        return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(body))]
    raise ValueError("unsupported content type: " + str(content_type))


def predict_fn(rows, model):
    return [
        model["bias"] + sum(weight * cell for weight, cell in zip(model["weights"], row))
        for row in rows
    ]


def output_fn(predictions, accept):
    if accept == "text/csv":
        return "".join(f"{value:g}\n" for value in predictions), accept
    return json.dumps({"predictions": predictions}), "application/json"
