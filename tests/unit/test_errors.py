from __future__ import annotations

import builtins
import inspect

import pytest

from harness import errors

TREE = {
    "HarnessError": Exception,
    "SpecError": errors.HarnessError,
    "PackageError": errors.SpecError,
    "PayloadError": errors.SpecError,
    "PipelineError": errors.SpecError,
    "HandlerEnvironmentError": errors.HarnessError,
    "IsolationUnavailableError": errors.HarnessError,
    "WorkerError": errors.HarnessError,
    "LeftoverError": errors.HarnessError,
}


def public_classes() -> dict[str, type]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in found if kind.__module__ == errors.__name__}


def test_the_tree_is_exactly_the_documented_one() -> None:
    assert {name: kind.__bases__[0] for name, kind in public_classes().items()} == TREE


def test_the_docstring_draws_every_class_at_its_depth() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if name in TREE:
            drawn[name] = line.index(name) // 4
    depth = {name: len(kind.__mro__) for name, kind in public_classes().items()}
    base = depth["HarnessError"]
    # ValueError is a second base of SpecError and of all below it.
    expected = {
        name: depth[name] - base - issubclass(kind, ValueError)
        for name, kind in public_classes().items()
    }
    assert drawn == expected


@pytest.mark.parametrize("name", ["SpecError", "PackageError", "PayloadError", "PipelineError"])
def test_a_mistake_of_the_user_is_also_a_value_error(name: str) -> None:
    assert issubclass(getattr(errors, name), ValueError)


@pytest.mark.parametrize("name", ["HandlerEnvironmentError", "IsolationUnavailableError"])
def test_a_fault_of_the_machine_is_not_a_mistake_of_the_user(name: str) -> None:
    assert not issubclass(getattr(errors, name), ValueError)


def test_no_error_has_the_name_of_a_builtin() -> None:
    assert not [name for name in public_classes() if hasattr(builtins, name)]
