"""Maps a model file of SIZE_MIB MiB and reads every page of it."""

import mmap
import os

MIB = 1024 * 1024
SIZE_MIB = int(os.environ["SIZE_MIB"])


def write_model(path):
    with open(path, "wb") as file:
        if os.environ["KIND"] == "sparse":
            file.truncate(SIZE_MIB * MIB)
            return
        for _ in range(SIZE_MIB):
            file.write(b"\0" * MIB)


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    write_model("model.weights")
    with open("model.weights", "rb") as file:
        weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    pages = sum(weights[place] == 0 for place in range(0, len(weights), mmap.PAGESIZE))
    assert pages * mmap.PAGESIZE == SIZE_MIB * MIB
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
