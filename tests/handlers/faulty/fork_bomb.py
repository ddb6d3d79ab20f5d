"""Forks in every process, 300 times in all; each process ends after 30 seconds at the latest."""

import os
import signal

MOST = 300
tokens, more = os.pipe()


def multiply():
    signal.alarm(30)
    try:
        while os.read(tokens, 1):
            os.fork()
    except BlockingIOError:  # no token is left, or the kernel refuses a fork
        signal.pause()


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    os.write(more, b"." * MOST)
    os.set_blocking(tokens, False)
    multiply()


def output_fn(prediction, accept):
    return str(prediction)
