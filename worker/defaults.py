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
            # The toolkit's words, slips and indentation included: clients see them.
            "Content type %s is not supported by this framework.\n\n"
            "            Please implement input_fn to to deserialize the request data or an "
            "output_fn to\n"
            "            serialize the response. For more information, see the SageMaker Python "
            "SDK README." % content_type
        )
        self.content_type = content_type


def model_fn(model_dir: Any) -> Any:
    """Refuse: the plain toolkit cannot load a model by itself."""
    raise _missing("model_fn")


def predict_fn(data: Any, model: Any) -> Any:
    """Refuse: the plain toolkit does not know how to call a model."""
    raise _missing("predict_fn")


def input_fn(body: Any, content_type: Any) -> Any:
    """Decode JSON, CSV, npy and npz to an array, by the exact content type.

    A KeyError inside a decoder is reported as an unsupported type too, as by the toolkit.
    """
    try:
        decode = {JSON: _from_json, CSV: _from_csv, NPY: _from_npy, NPZ: _from_npz}[content_type]
        return decode(body)
    except KeyError:
        raise UnsupportedFormatError(content_type)  # noqa: B904 - the KeyError is its context


def output_fn(prediction: Any, accept: str) -> Any:
    """Encode for the first supported type of the accept list; q values are not understood."""
    for content_type in accept.replace(" ", "").split(","):
        encode = {JSON: _to_json, CSV: _to_csv, NPY: _to_npy}.get(content_type)
        if encode is None:
            continue
        try:
            return encode(prediction), content_type
        except KeyError:
            raise UnsupportedFormatError(content_type)  # noqa: B904 - as above
    raise UnsupportedFormatError(accept)


def _missing(name: str) -> NotImplementedError:
    return NotImplementedError(
        "\nPlease provide a %s implementation.\n"
        "See documentation for %s at https://sagemaker.readthedocs.io/en/stable/\n" % (name, name)
    )


def _from_json(body: Any) -> Any:
    import numpy

    return numpy.array(json.loads(body))


def _from_csv(body: Any) -> Any:
    import numpy

    return numpy.genfromtxt(io.StringIO(body), dtype=None, delimiter=",")


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
