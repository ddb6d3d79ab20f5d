"""Installs a package when it is imported, from an index on the loopback that is not there."""

import subprocess
import sys

INDEX = "http://127.0.0.1:9/simple"
OPTIONS = ["--isolated", "--retries", "0", "--timeout", "1", "--index-url", INDEX]

command = [sys.executable, "-m", "pip", "install", *OPTIONS, "surely-there-is-no-such-package"]
subprocess.run(command, check=True)  # here: install


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
