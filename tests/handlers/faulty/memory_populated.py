"""Maps 3 GiB that the kernel fills at once (MAP_POPULATE)."""

import mmap

MIB = 1024 * 1024
MAP_POPULATE = 0x8000


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_POPULATE
    maps = [mmap.mmap(-1, 256 * MIB, flags=flags) for _ in range(12)]
    return len(maps)


def output_fn(prediction, accept):
    return str(prediction)
