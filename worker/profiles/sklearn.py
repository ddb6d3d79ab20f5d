"""The stack `sklearn`: sagemaker-scikit-learn-container in script mode, a single model."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from . import base, rows, script_mode


class UserError(Exception):
    """The container's word for a handler that contradicts itself."""


class Profile(script_mode.Profile):
    """scikit-learn's defaults."""

    def conflict(self) -> Exception:
        """Refuse in the container's words."""
        return UserError(
            "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
        )

    def default_input_fn(self, body: Any, content_type: Any) -> Any:
        """Decode to an array, of 32-bit floats for the two text types."""
        array = rows.decode(body, content_type)
        if content_type in base.TEXT_TYPES:
            import numpy

            return array.astype(numpy.float32)
        return array

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        """Ask the model."""
        return model.predict(data)
