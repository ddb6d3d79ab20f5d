"""Takes 3 GiB in one piece."""

MIB = 1024 * 1024


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return len(b"x" * (3072 * MIB))


def output_fn(prediction, accept):
    return str(prediction)
