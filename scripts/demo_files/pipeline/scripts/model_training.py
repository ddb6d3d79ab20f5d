"""Train a scikit-learn pipeline on what was preprocessed."""

import json
import os

import joblib
import numpy
from columns import FEATURES
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(input_paths, output_paths, environ_vars, job_args):
    labels, features = load(input_paths["input_path"], "train")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(features, labels)
    held_out, others = load(input_paths["input_path"], "val")
    print(f"accuracy on {len(held_out)} others: {model.score(others, held_out):.3f}")
    joblib.dump(model, os.path.join(output_paths["model_output"], "model.joblib"))
    with open(os.path.join(output_paths["model_output"], "features.json"), "w") as file:
        json.dump(FEATURES, file)


def load(folder, part):
    table = numpy.loadtxt(os.path.join(folder, part, f"{part}.csv"), delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1:]
