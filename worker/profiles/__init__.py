"""The serving stacks: for each one module, whose `Profile` holds a handler to its rules.

`base` has what all share, `model_server` what multi-model-server and TorchServe do around the
toolkits, `script_mode` what sklearn and xgboost have in common.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Profile

import importlib


def profile(name: str) -> type[Profile]:
    """Give the profile of a stack; only its own modules are imported."""
    kind: type[Profile] = importlib.import_module("." + name, __name__).Profile
    return kind
