"""Has a child take 1 GiB, and when the child is killed for it, answers as if nothing was.

With THEN=hang it never looks at its child.
"""

import os
import signal


def take():
    signal.alarm(30)
    data = b"x" * (1024 * 1024 * 1024)
    signal.pause()
    os._exit(len(data) % 2)


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    child = os.fork()
    if child == 0:
        take()
    if os.environ.get("THEN") == "hang":
        signal.alarm(60)
        signal.pause()
    _, status = os.waitpid(child, 0)
    print(f"the child ended with {status}", flush=True)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
