"""The churn handler, but predict_fn ends the process, as if all were well."""

import os

from inference import *  # noqa: F403


def predict_fn(customers, model):
    """Leave with exit code 0 and without an answer."""
    os._exit(0)
