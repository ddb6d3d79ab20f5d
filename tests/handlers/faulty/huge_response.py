"""Answers with 200 MB."""


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return b"x" * 200_000_000
