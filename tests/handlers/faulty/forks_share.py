"""Takes 400 MiB and reads them in twenty forks at the same time."""

import gc
import os
import time

SHARED = b"x" * (400 * 1024 * 1024)


def read():
    gc.disable()
    pages = SHARED[::4096]
    time.sleep(0.3)
    os._exit(pages.count(b"y"))


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            read()
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
