"""Kills every process that it may, which in a sandbox is its own child and no other.

Does so only where process 1 is the supervisor, that is in a sandbox.
"""

import os
import pathlib
import signal
import subprocess


def assert_in_a_sandbox():
    command = pathlib.Path("/proc/1/cmdline").read_bytes().split(b"\0")
    assert os.getppid() == 1, "not in a sandbox"
    assert b"supervise" in command, "not in a sandbox"


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert_in_a_sandbox()
    child = subprocess.Popen(["sleep", "3600"])
    os.kill(-1, signal.SIGKILL)
    print(f"the child ended with {child.wait()}")
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
