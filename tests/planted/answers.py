"""What output_fn gives with status 200 that is an error in truth, and what is right."""

from __future__ import annotations

# Answers with status 200 and their codes; beside each what is very like it and is right.
BODIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "an error in JSON": ("""'{"error": "no column age"}'""", ("HP620",)),
    "an error of another spelling": ("""{"errorMessage": "x", "errorType": "E"}""", ("HP620",)),
    "the status in the body": ("""{"statusCode": 400, "body": "x"}""", ("HP620",)),
    "no success": ("""{"success": False, "message": "no model"}""", ("HP620",)),
    "a traceback": ("""json.dumps("Traceback (most recent call last): ...")""", ("HP620",)),
    "an exception as text": ("""json.dumps("ValueError: no such column")""", ("HP620",)),
    "an error in a list": ("""[{"error": "x"}]""", ("HP620",)),
    "null": ("'null'", ("HP622",)),
    "an empty list": ("[]", ("HP622",)),
    "only nulls": ("[None, None]", ("HP622",)),
    "a word": ("""json.dumps("error")""", ("HP622",)),
    "a number that stands for none": ("-999", ("HP622",)),
    "nothing": ("''", ("HP623",)),
    "a dict as text": ("str({'a': 1})", ("HP623",)),
    "a text": ("'0.5 0.7'", ("HP623",)),
    "NaN": ("'[NaN]'", ("HP608",)),
    "JSON for CSV": ("(json.dumps(prediction), 'text/csv')", ("HP605", "HP623")),
    "no Parquet": ("(b'1,2', 'application/x-parquet')", ("HP605", "HP623")),
    "a measure called error": ("""{"prediction": 1.5, "error": 0.25}""", ()),
    "no error": ("""{"prediction": 1.5, "error": None, "errors": []}""", ()),
    "a label called status": ("""{"status": "failed", "probability": 0.5}""", ()),
    "a prediction of success": ("""{"success": False}""", ()),
    "a good status": ("""{"statusCode": 200, "body": [1]}""", ()),
    "a label": ("""json.dumps("positive")""", ()),
    "minus one": ("[-1, 1]", ()),
}
