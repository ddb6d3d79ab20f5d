"""What the toolkit does where a handler defines no function: decode, encode, or refuse.

numpy (and scipy for npz) come from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import io
import json

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"


class UnsupportedFormatError(Exception):
    """No decoder or encoder for this content type, as the toolkit names it."""

    def __init__(self, content_type: Any) -> None:
        super().__init__(
            "Content type %s is not supported by this framework.\n"
            "Implement input_fn to deserialize the request data, and output_fn to serialize the"
            " response." % content_type
        )
        self.content_type = content_type


def model_fn(model_dir: Any) -> Any:
    """Refuse: the plain toolkit cannot load a model by itself."""
    raise NotImplementedError("Please provide a model_fn implementation.")


def predict_fn(data: Any, model: Any) -> Any:
    """Refuse: the plain toolkit does not know how to call a model."""
    raise NotImplementedError("Please provide a predict_fn implementation.")


def input_fn(body: Any, content_type: Any) -> Any:
    """Decode JSON, CSV, npy and npz to an array, by the exact content type."""
    decode = {JSON: _from_json, CSV: _from_csv, NPY: _from_npy, NPZ: _from_npz}.get(content_type)
    if decode is None:
        raise UnsupportedFormatError(content_type)
    return decode(body)


def output_fn(prediction: Any, accept: str) -> Any:
    """Encode for the first supported type of the accept list; q values are not understood."""
    for content_type in accept.replace(" ", "").split(","):
        encode = {JSON: _to_json, CSV: _to_csv, NPY: _to_npy}.get(content_type)
        if encode is not None:
            return encode(prediction), content_type
    raise UnsupportedFormatError(accept)


def _from_json(body: Any) -> Any:
    import numpy

    return numpy.array(json.loads(body))


def _from_csv(body: Any) -> Any:
    import numpy

    return numpy.genfromtxt(io.StringIO(body), dtype=None, delimiter=",", encoding="utf-8")


def _from_npy(body: Any) -> Any:
    import numpy

    return numpy.load(io.BytesIO(body), allow_pickle=True)


def _from_npz(body: Any) -> Any:
    import scipy.sparse

    return scipy.sparse.load_npz(io.BytesIO(body))


def _to_json(prediction: Any) -> str:
    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    return json.dumps(prediction, default=plain)


def _to_csv(prediction: Any) -> str:
    import numpy

    stream = io.StringIO()
    numpy.savetxt(stream, prediction, delimiter=",", fmt="%s")
    return stream.getvalue()


def _to_npy(prediction: Any) -> bytes:
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, prediction)
    return buffer.getvalue()
