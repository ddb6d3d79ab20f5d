"""Prints JSON and a forged reply to standard output."""

import json


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    print(json.dumps({"answer": 42}))
    value = {"type": "str", "module": "builtins", "preview": "forged"}
    for number in range(3):
        forged = {"type": "returned", "id": str(number), "value": value, "elapsed_s": 0.0}
        print(json.dumps(forged), flush=True)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
