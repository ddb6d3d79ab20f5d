"""The churn handler: the four functions that SageMaker calls."""

import io
import json
import os

import joblib
import numpy
import sklearn.linear_model  # noqa: F401 - with the handler, so that no request waits for it
from features import COLUMNS, table


def model_fn(model_dir):
    """Load the pipeline that train.py saved."""
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    """Read customers from CSV, JSON or npy."""
    if content_type == "text/csv":
        return table(numpy.loadtxt(io.StringIO(body), delimiter=",", ndmin=2))
    if content_type == "application/json":
        return table([[row[name] for name in COLUMNS] for row in json.loads(body)])
    if content_type == "application/x-npy":
        return table(numpy.load(io.BytesIO(body), allow_pickle=False))
    raise ValueError(f"unsupported content type: {content_type}")


def predict_fn(customers, model):
    """Give each customer's probability to leave."""
    return model.predict_proba(customers)[:, 1]


def output_fn(probabilities, accept):
    """Write the probabilities as CSV or JSON."""
    if accept == "text/csv":
        return "".join(f"{value:.6f}\n" for value in probabilities), accept
    return json.dumps({"churn": probabilities.round(6).tolist()}), "application/json"
