"""Fails when a variable of the tester's reaches it."""

import os

PRIVATE = (
    "PYTHONHOME PYTHONSTARTUP LD_PRELOAD LD_LIBRARY_PATH VIRTUAL_ENV "
    "AWS_SECRET_ACCESS_KEY HANDLERPROOF_LONG"
)


def model_fn(model_dir):
    seen = sorted(set(PRIVATE.split()) & set(os.environ))
    assert not seen, seen
    # The server's own, which leads to this code and to nothing of the tester's.
    assert os.environ["PYTHONPATH"] == os.path.join(model_dir, "code"), os.environ["PYTHONPATH"]
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
