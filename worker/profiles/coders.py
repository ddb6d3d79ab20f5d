"""Bodies to arrays and back, as sagemaker-inference 1.10.1 does it (its decoder and encoder).

numpy (and scipy for npz) come from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import io

from ..late import json

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"


class UnsupportedFormatError(Exception):
    """No decoder or encoder for this content type, as the toolkit names it."""

    __module__ = "sagemaker_inference.errors"  # in tracebacks, which clients see

    def __init__(self, content_type: Any) -> None:
        super().__init__(
            # The toolkit's words, slips and indentation included: clients see them.
            "Content type %s is not supported by this framework.\n\n"
            "            Please implement input_fn to to deserialize the request data or an "
            "output_fn to\n"
            "            serialize the response. For more information, see the SageMaker Python "
            "SDK README." % content_type
        )
        self.content_type = content_type


def decode(body: Any, content_type: Any) -> Any:
    """Decode JSON, CSV, npy and npz to an array, by the exact content type.

    A KeyError inside a decoder is reported as an unsupported type too, as by the toolkit.
    """
    try:
        return {JSON: from_json, CSV: _from_csv, NPY: from_npy, NPZ: _from_npz}[content_type](body)
    except KeyError:
        raise UnsupportedFormatError(content_type)  # noqa: B904 - the KeyError is its context


def first_supported(accept: str) -> str:
    """Give the first type of an accept list that there is an encoder for. Raises for none."""
    for content_type in accept.replace(" ", "").split(","):
        if content_type in (JSON, CSV, NPY):
            return content_type
    raise UnsupportedFormatError(accept)


def encode(prediction: Any, content_type: str) -> Any:
    """Encode as JSON, CSV (str) or npy (bytes)."""
    try:
        return {JSON: to_json, CSV: to_csv, NPY: to_npy}[content_type](prediction)
    except KeyError:
        raise UnsupportedFormatError(content_type)  # noqa: B904 - as above


def from_json(body: Any) -> Any:
    """Make an array of JSON."""
    import numpy

    return numpy.array(json.loads(body))


def _from_csv(body: Any) -> Any:
    import numpy

    return numpy.genfromtxt(io.StringIO(body), dtype=None, delimiter=",")


def from_npy(body: Any) -> Any:
    """Make an array of npy, pickles in it included."""
    import numpy

    return numpy.load(io.BytesIO(body), allow_pickle=True)


def _from_npz(body: Any) -> Any:
    import scipy.sparse

    return scipy.sparse.load_npz(io.BytesIO(body))


def to_json(prediction: Any) -> str:
    """Write JSON, with arrays and scalars as lists and numbers."""

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    text: str = json.dumps(prediction, default=plain)
    return text


def to_csv(prediction: Any) -> str:
    """Write CSV, one row a line."""
    import numpy

    stream = io.StringIO()
    numpy.savetxt(stream, prediction, delimiter=",", fmt="%s")
    return stream.getvalue()


def to_npy(prediction: Any) -> bytes:
    """Write npy."""
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, prediction)
    return buffer.getvalue()
