"""Train the churn model: `train.py OUTPUT`, with code/ on PYTHONPATH."""

import sys

import joblib
import numpy
from features import table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(output):
    """Invent 500 customers, always the same, and fit a scaler and a classifier to them."""
    random = numpy.random.default_rng(7)
    customers = random.uniform((1, 10, 0), (72, 120, 10), size=(500, 3))
    left = customers[:, 1] + 12 * customers[:, 2] - customers[:, 0] > 90
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=7))
    joblib.dump(model.fit(table(customers), left), output)


if __name__ == "__main__":
    main(sys.argv[1])
