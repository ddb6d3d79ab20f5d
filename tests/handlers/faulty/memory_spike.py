"""Takes 200 MiB and gives it back at once."""

MIB = 1024 * 1024


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    assert len(b"x" * (200 * MIB)) == 200 * MIB
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
