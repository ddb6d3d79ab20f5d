"""Train the model: `train.py OUTPUT`, with code/ on PYTHONPATH, so that its pickle names it."""

import sys

import joblib
import numpy
from features import log_scaled
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler


def main(output):
    random = numpy.random.default_rng(7)
    rows = random.uniform(0, 1000, size=(200, 2))
    labels = rows[:, 0] > rows[:, 1]
    steps = (FunctionTransformer(log_scaled), StandardScaler(), LogisticRegression())
    joblib.dump(make_pipeline(*steps).fit(rows, labels), output)


if __name__ == "__main__":
    main(sys.argv[1])
