"""Takes memory in pieces of 16 MiB, up to 3 GiB."""

MIB = 1024 * 1024


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    pieces = [b"x" * (16 * MIB) for _ in range(192)]
    return len(pieces)


def output_fn(prediction, accept):
    return str(prediction)
