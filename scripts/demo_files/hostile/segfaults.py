"""The churn handler, but predict_fn crashes the interpreter."""

import ctypes

from inference import *  # noqa: F403


def predict_fn(customers, model):
    """Read at address 0."""
    return ctypes.string_at(0)
