"""Stops the process that started it, and hangs."""

import os
import pathlib
import signal
import time


def supervisor():
    """Give its id; raise where the parent is another process, which must not be harmed."""
    parent = os.getppid()
    words = pathlib.Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
    assert b"supervise" in words or b"template" in words  # a template's fork has its command line
    return parent


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    try:
        os.kill(supervisor(), signal.SIGSTOP)
    except PermissionError:
        print("the kernel refused it", flush=True)
    time.sleep(3600)


def output_fn(prediction, accept):
    return str(prediction)
