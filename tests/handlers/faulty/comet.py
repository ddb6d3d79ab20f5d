"""Starts a chain of processes that fork and exit, each in a session of its own, for 30 seconds.

One that outlives its run directory stays where it is, so that it can be found.
"""

import os
import time


def fly():
    end = time.monotonic() + 30
    while time.monotonic() < end and os.path.isdir(os.environ["HOME"]):
        os.setsid()
        if os.fork():
            os._exit(0)
    time.sleep(max(0.0, end - time.monotonic()))
    os._exit(0)


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    child = os.fork()
    if child == 0:
        if os.fork():
            os._exit(0)
        fly()
    os.waitpid(child, 0)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
