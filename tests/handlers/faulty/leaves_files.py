"""Leaves COUNT files, in its model directory and in its temporary one."""

import os
import pathlib


def leave(folder, count):
    for number in range(count):
        os.close(os.open(folder / f"left-{number}", os.O_CREAT | os.O_WRONLY))
    print(f"path={folder}")


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    count = int(os.environ["COUNT"])
    for folder in (pathlib.Path.cwd(), pathlib.Path(os.environ["TMPDIR"])):
        leave(folder, count // 2)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
