"""Fails when a descriptor is open that neither it nor its worker needs."""

import os


def open_descriptors():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:  # the one that listed them
            continue
        found.add(int(name))
    return found


AT_IMPORT = open_descriptors()


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    for found in (AT_IMPORT, open_descriptors()):
        strange = {number for number in found if number < 200} ^ {0, 1, 2}
        assert not strange, sorted(found)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
