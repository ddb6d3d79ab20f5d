"""What the containers have installed before a handler's own requirements, by stack.

Names only: the newest that suits the handler's Python is taken, where an image has its own pins.
"""

from __future__ import annotations

from typing import Final

# What sagemaker-inference 1.10.1 requires; the other toolkits are built on it.
_TOOLKIT: Final = ("boto3", "numpy", "psutil", "retrying", "scipy", "six")

BASE_SETS: Final[dict[str, tuple[str, ...]]] = {
    "toolkit": _TOOLKIT,
    "pytorch": (*_TOOLKIT, "torch", "torchvision"),
    "huggingface": (*_TOOLKIT, "torch", "transformers", "pillow"),
    "sklearn": ("boto3", "joblib", "numpy", "pandas", "scikit-learn", "scipy"),
    "xgboost": ("boto3", "joblib", "numpy", "pandas", "scikit-learn", "scipy", "xgboost"),
}


def of(stack: str | None) -> tuple[str, ...]:
    """Give the distributions of a stack's container; none for no stack."""
    return BASE_SETS.get(stack, ()) if stack is not None else ()
