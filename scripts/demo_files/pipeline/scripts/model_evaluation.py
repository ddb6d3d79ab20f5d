"""Score the customers that were kept aside; write the scores, and how good they are."""

import json
import os

import joblib
import numpy
from sklearn.metrics import log_loss, roc_auc_score


def main(input_paths, output_paths, environ_vars, job_args):
    model = joblib.load(os.path.join(input_paths["model_input"], "model.joblib"))
    place = os.path.join(input_paths["processed_data"], "calibration", "calibration.csv")
    table = numpy.loadtxt(place, delimiter=",", skiprows=1)
    labels, scores = table[:, 0], model.predict_proba(table[:, 1:])[:, 1]
    metrics = {"auc": roc_auc_score(labels, scores), "log_loss": log_loss(labels, scores)}
    if metrics["auc"] < 0.7:
        raise ValueError(f"the model is no good: {metrics}")
    numpy.savetxt(
        os.path.join(output_paths["eval_output"], "predictions.csv"),
        numpy.column_stack([labels, scores]),
        delimiter=",",
        header=f"{environ_vars['LABEL_FIELD']},score",
        comments="",
    )
    with open(os.path.join(output_paths["metrics_output"], "metrics.json"), "w") as file:
        json.dump(metrics, file)
