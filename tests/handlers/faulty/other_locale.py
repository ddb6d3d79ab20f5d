"""Prints, writes and names files with letters beyond ASCII, whatever the locale is."""

import os
import sys

TEXT = "Grüße ✓"


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    print(TEXT)
    print(TEXT, file=sys.stderr)
    assert sys.getfilesystemencoding() == os.environ["EXPECTED"]
    with open(os.fsencode("gr") + b"\xc3\xbc\xc3\x9fe", "w", encoding="utf-8") as file:
        file.write(TEXT)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
