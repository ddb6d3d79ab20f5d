"""What a handler's files let expect, before anything of it runs."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

from harness import InferenceHandlerSpec
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.environments import base_sets, preflight
from harness.environments.interpreters import Interpreter
from tests.conftest import MakePackage

MODEL = "\n\ndef model_fn(model_dir):\n    return None\n"


def found(
    package: MakePackage, code: str, wanted: str | None, *sites: str, **files: str | bytes
) -> list[str]:
    content: dict[str, str | bytes] = {"code/inference.py": code + MODEL, **files}
    if wanted is not None:
        content["code/requirements.txt"] = wanted
    spec = InferenceHandlerSpec(handler_name="h", packaged_model_path=str(package(content)))
    with RunDirectory() as run:
        interpreter = Interpreter("inherit", sys.executable, sites)
        opened = open_package(spec, run)
        return preflight.warnings(spec, opened, interpreter, base_sets.of(spec, opened))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import lightgbm", "code/inference.py:1 imports lightgbm, and code/requirements.txt does"),
        ("from cv2 import dnn", "code/inference.py:1 imports cv2 (opencv-python), and"),
        ("if True:\n    import tqdm", "code/inference.py:2 imports tqdm under a condition, and"),
        ("def f():\n    import tqdm", "code/inference.py:2 imports tqdm under a condition, and"),
        ("import sagemaker_containers.beta", "exists only inside AWS's containers: here it fails"),
        ("from sagemaker_xgboost_container import x", "exists only inside AWS's containers"),
    ],
)
def test_missing_package_is_named_with_its_line(
    code: str, expected: str, package: MakePackage
) -> None:
    (text,) = found(package, code, "pandas\n")
    assert expected in text


@pytest.mark.parametrize(
    "code",
    [
        "import os, json, imp",
        "import pandas, numpy",  # pandas brings numpy
        "try:\n    import lightgbm\nexcept ImportError:\n    lightgbm = None",
        "try:\n    import smdebug\nexcept (ValueError, ModuleNotFoundError):\n    pass",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lightgbm",
        "if __name__ == '__main__':\n    import lightgbm",
        "import helper",
        "from . import helper",
    ],
)
def test_what_is_there_or_can_be_done_without_is_no_warning(
    code: str, package: MakePackage
) -> None:
    assert found(package, code, "pandas\n", **{"code/helper.py": "import json\n"}) == []


def test_imports_of_the_handlers_own_modules_are_followed(package: MakePackage) -> None:
    files = {"code/lib/__init__.py": "", "code/lib/deep.py": "import lightgbm\n"}
    (text,) = found(package, "from lib import deep", "six\n", **files)
    assert text.startswith("code/lib/deep.py:1 imports lightgbm")


def test_package_without_requirements_is_held_against_nothing(package: MakePackage) -> None:
    assert found(package, "import lightgbm", None) == []


def test_code_that_is_no_python_is_left_to_the_worker(package: MakePackage) -> None:
    assert found(package, "from lib import broken", "six\n", **{"code/lib.py": "def ("}) == []


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_model_of_another_scikit_learn_is_named_with_both_versions(
    protocol: int, package: MakePackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn.base

    monkeypatch.setattr(sklearn.base, "__version__", "0.24.2")
    model = pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0, 1]), protocol)
    (tmp_path / f"scikit_learn-{sklearn.__version__}.dist-info").mkdir()
    (text,) = found(package, "", None, str(tmp_path), **{"model.pkl": model})
    assert "model.pkl was made with scikit-learn 0.24.2" in text
    assert f"loaded with {sklearn.__version__}" in text
