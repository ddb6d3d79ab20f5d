"""The stack `xgboost`: sagemaker-xgboost-container in script mode, a single model.

xgboost and numpy come from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import csv
import os
import tempfile

from . import coders, script_mode

LIBSVM = ("text/libsvm", "text/x-libsvm")
RECORDIO = "application/x-recordio-protobuf"


class UserError(Exception):
    """The container's word for a handler that contradicts itself."""


class Profile(script_mode.Profile):
    """XGBoost's defaults: bodies become a DMatrix."""

    def conflict(self) -> Exception:
        """Refuse in the container's words."""
        return UserError(
            "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
        )

    def default_input_fn(self, body: Any, content_type: Any) -> Any:
        """Decode CSV and LIBSVM to a DMatrix; parameters of the content type are allowed."""
        kind = content_type.partition(";")[0].strip()
        if kind == coders.CSV:
            return _from_csv(body)
        if kind in LIBSVM:
            return _from_libsvm(body)
        if kind == RECORDIO:
            raise NotImplementedError(
                "RecordIO is decoded by mlio, a library that only the container has; "
                "define input_fn, or test with CSV or LIBSVM"
            )
        raise coders.UnsupportedFormatError(kind)

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        """Ask the booster, whatever its feature names are."""
        return model.predict(data, validate_features=False)


def _from_csv(body: Any) -> Any:
    """Read rows by the delimiter of the first; an empty field is nan, an empty row an error."""
    import numpy
    import xgboost

    text = body.decode() if isinstance(body, bytes) else body
    lines = text.split("\n")
    found = csv.Sniffer().sniff(lines[0][:512]).delimiter
    delimiter = "," if found.isalnum() else found
    fields = [[field or "nan" for field in line.split(delimiter)] for line in lines]
    return xgboost.DMatrix(numpy.array(fields).astype(None))


def _from_libsvm(body: Any) -> Any:
    import xgboost

    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(body)
    try:
        return xgboost.DMatrix(file.name)
    finally:
        os.remove(file.name)
