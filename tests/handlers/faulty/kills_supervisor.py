"""Leaves a child in a session of its own, then kills the process that started it."""

import os
import pathlib
import signal
import subprocess
import time

GRACE_S = 0.5


def wait_for_another_parent(parent):
    end = time.monotonic() + GRACE_S
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.005)
    return os.getppid() != parent


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
    child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    print(f"pid={child.pid}", flush=True)
    parent = supervisor()
    try:
        os.kill(parent, signal.SIGKILL)
    except PermissionError:
        print("the kernel refused it")
        return model * sum(data)
    if wait_for_another_parent(parent):
        time.sleep(30)
    print("the supervisor is immune")
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
