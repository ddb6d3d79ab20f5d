"""Names taken apart: of nodes, of scripts, and of inputs and outputs."""

from __future__ import annotations

import re
from typing import Final

# Written with capitals inside, but one word.
_BRANDS: Final = re.compile("XGBoost|LightGBM|CatBoost|PyTorch|TensorFlow|SageMaker|MLflow")
_WORD: Final = re.compile(
    r"[sS]3(?!\d)|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_a-zA-Z]+"
)

JOB_TYPES: Final = (
    "training",
    "validation",
    "testing",
    "calibration",
    "evaluation",
    "inference",
    "registration",
)
_OF_A_HANDLER: Final = {"inference", "registration", "register", "serving", "endpoint"}


def words(name: str) -> list[str]:
    """Split a name on case, digits, underscores and dashes, in lower case.

    "GeneratedPayloadSamples" gives generated, payload, samples; "XGBoost-model_2" gives xgboost,
    model, 2.
    """
    plain = _BRANDS.sub(lambda found: found[0].capitalize(), name)
    return [word.lower() for word in _WORD.findall(plain)]


def snake_case(name: str) -> str:
    """Write a name as files of Python are named: TabularStep as tabular_step."""
    return "_".join(words(name))


def canonical(node: str) -> tuple[str, str | None]:
    """Take a node's name apart into the step's own name and its job type.

    "TabularPreprocessing_training" gives TabularPreprocessing and training; a name without such a
    suffix has no job type.
    """
    step, mark, suffix = node.rpartition("_")
    return (step, suffix.lower()) if mark and step and suffix.lower() in JOB_TYPES else (node, None)


def script_names(node: str) -> list[str]:
    """List what the script of a node may be called: with its job type, then without."""
    step, _ = canonical(node)
    return list(dict.fromkeys(filter(None, (snake_case(node), snake_case(step)))))


def is_of_a_handler(node: str) -> bool:
    """Tell whether a handler is meant to stand at a node, by its name: a registration."""
    return not _OF_A_HANDLER.isdisjoint(words(node))
