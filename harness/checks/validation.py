"""What the seed's `validation` dictionary says of a function's result, from its description."""

from pydantic import JsonValue

from harness.summaries import ValueSummary

PRESENCE = {
    "model_fn": "has_model_artifacts",
    "input_fn": "has_processed_input",
    "predict_fn": "has_predictions",
    "output_fn": "has_response",
    "transform_fn": "has_response",
}
TYPE_KEY = {
    "input_fn": "input_type",
    "predict_fn": "prediction_type",
    "output_fn": "response_type",
    "transform_fn": "response_type",
}


def validate(function: str, value: ValueSummary) -> dict[str, JsonValue]:
    """Say what a function returned: its type, and whether it returned anything at all."""
    return validate_type(function, value.type)


def validate_type(function: str, result_type: str) -> dict[str, JsonValue]:
    """Say it from the name of the result's type alone."""
    details: dict[str, JsonValue] = {
        "function_type": function,
        "result_type": result_type,
        PRESENCE[function]: result_type != "NoneType",
    }
    if function == "model_fn":
        details["is_dict"] = result_type == "dict"
    else:
        details[TYPE_KEY[function]] = result_type
    return details
