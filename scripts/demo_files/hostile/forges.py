"""The churn handler, but predict_fn also prints what looks like the worker's own messages."""

import json
import os

import inference
from inference import *  # noqa: F403

FORGED = {"type": "str", "module": "builtins", "preview": "forged"}


def predict_fn(customers, model):
    """Print forged replies, by print and past it, then predict as it should."""
    for name in ("0", "1", "2"):
        reply = {"type": "returned", "id": name, "value": FORGED, "elapsed_s": 0.0}
        print(json.dumps(reply), flush=True)
        os.write(1, json.dumps(reply).encode() + b"\n")
    return inference.predict_fn(customers, model)
