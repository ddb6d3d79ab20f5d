"""What the containers have installed before a handler's own requirements, by stack.

Names only: the newest that suits the handler's Python is taken, where an image has its own pins.
"""

from __future__ import annotations

from typing import Final

from harness.artifacts.package import Package
from harness.environments import imports
from harness.specs import InferenceHandlerSpec

# What sagemaker-inference 1.10.1 requires; the other toolkits are built on it.
_TOOLKIT: Final = ("boto3", "numpy", "psutil", "retrying", "scipy", "six")

BASE_SETS: Final[dict[str, tuple[str, ...]]] = {
    "toolkit": _TOOLKIT,
    "pytorch": (*_TOOLKIT, "torch", "torchvision"),
    "huggingface": (*_TOOLKIT, "torch", "transformers", "pillow"),
    "sklearn": ("boto3", "joblib", "numpy", "pandas", "scikit-learn", "scipy"),
    "xgboost": ("boto3", "joblib", "numpy", "pandas", "scikit-learn", "scipy", "xgboost"),
}


# The functions of a handler that leaves nothing to them.
_WHOLE: Final = (("input_fn", "output_fn"), ("transform_fn",))
# What the default stack's own input_fn and output_fn import.
_OF_DEFAULTS: Final = ("numpy",)


def of(spec: InferenceHandlerSpec, package: Package) -> tuple[str, ...]:
    """Give the distributions of the container of a stack that is named.

    Where none is, they are those that the toolkit's own functions need, for a handler that leaves
    one of them out.
    """
    if spec.stack_chosen:
        return BASE_SETS[spec.stack]
    file = package.handler_file
    whole = file is None or imports.may_define(file, *_WHOLE)
    return () if whole else _OF_DEFAULTS
