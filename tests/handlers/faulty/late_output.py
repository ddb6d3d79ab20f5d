"""Prints from a thread after predict_fn has returned: when FLAGS/go is there."""

import os
import pathlib
import threading
import time


def print_late():
    flags = pathlib.Path(os.environ["FLAGS"])
    give_up = time.monotonic() + 10
    while not (flags / "go").exists() and time.monotonic() < give_up:
        time.sleep(0.005)
    os.write(1, b"late output of predict_fn\n")
    pathlib.Path("done").touch()


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    threading.Thread(target=print_late, daemon=True).start()
    return model * sum(data)


def output_fn(prediction, accept):
    print("output of output_fn")
    return str(prediction)
