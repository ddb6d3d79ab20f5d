"""Bodies to arrays and back, as sagemaker-containers 2.8.6.post2 does it (its encoders).

numpy comes from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import csv
import io

from . import coders


class ClientError(Exception):
    """What the container makes of a body or a prediction that is no CSV."""


def decode(body: Any, content_type: Any) -> Any:
    """Decode JSON, CSV and npy to an array, by the exact content type."""
    try:
        decoders = {
            coders.JSON: coders.from_json,
            coders.CSV: _from_csv,
            coders.NPY: coders.from_npy,
        }
        return decoders[content_type](body)
    except KeyError:
        raise coders.UnsupportedFormatError(content_type)  # noqa: B904 - as in coders


def encode(prediction: Any, accept: Any) -> Any:
    """Encode as JSON, CSV or npy, by the exact accept type."""
    try:
        encoders = {coders.JSON: coders.to_json, coders.CSV: _to_csv, coders.NPY: coders.to_npy}
        return encoders[accept](prediction)
    except KeyError:
        raise coders.UnsupportedFormatError(accept)  # noqa: B904 - as in coders


def _from_csv(text: Any) -> Any:
    """Read rows of numbers, of strings if that fails; one row or column has one dimension."""
    import numpy

    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=",", strict=True))
    except Exception as error:
        raise ClientError("Error while decoding csv: %s" % error) from error
    try:
        array = numpy.array(lines).squeeze()
    except ValueError:
        # An accident of the container's: it returns a name that was never bound.
        raise UnboundLocalError(
            "cannot access local variable 'array' where it is not associated with a value"
        ) from None
    try:
        return array.astype(None)
    except ValueError:
        return array


def _to_csv(prediction: Any) -> str:
    import numpy

    array = numpy.array(prediction)
    if len(array.shape) == 1:
        array = numpy.reshape(array, (array.shape[0], 1))
    stream = io.StringIO()
    try:
        csv.writer(stream, lineterminator="\n", delimiter=",", strict=True).writerows(array)
    except csv.Error as error:
        raise ClientError("Error while encoding csv: %s" % error) from error
    return stream.getvalue()
