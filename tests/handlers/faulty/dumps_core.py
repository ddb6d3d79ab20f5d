"""Has a child that crashes, and looks for the core file that it could have left."""

import ctypes
import os
import resource


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    child = os.fork()
    if child == 0:
        ctypes.string_at(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status
    assert not os.WCOREDUMP(status), status
    assert [name for name in os.listdir(".") if name.startswith("core")] == []
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
