"""Make a table that turns the model's scores into probabilities that hold."""

import json
import os

import numpy
from sklearn.isotonic import IsotonicRegression


def main(input_paths, output_paths, environ_vars, job_args):
    place = os.path.join(input_paths["evaluation_data"], "predictions.csv")
    table = numpy.loadtxt(place, delimiter=",", skiprows=1)
    curve = IsotonicRegression(out_of_bounds="clip").fit(table[:, 1], table[:, 0])
    found = {"score": curve.X_thresholds_.tolist(), "probability": curve.y_thresholds_.tolist()}
    with open(os.path.join(output_paths["calibration_output"], "calibration.json"), "w") as file:
        json.dump(found, file)
