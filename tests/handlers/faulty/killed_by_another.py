"""Is killed with SIGKILL by a process that it started."""

import subprocess
import time


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    subprocess.Popen(["sh", "-c", "kill -9 $PPID"])
    time.sleep(30)


def output_fn(prediction, accept):
    return str(prediction)
