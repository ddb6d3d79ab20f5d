"""Asks for more memory than there is, and copes."""


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    try:
        bytearray(1 << 60)
    except MemoryError:
        return model * sum(data)
    raise AssertionError("an exabyte was had")


def output_fn(prediction, accept):
    return str(prediction)
