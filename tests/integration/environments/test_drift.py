"""A model made with one scikit-learn and loaded with another: both versions are told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester
from harness.environments import provided
from harness.spec_environment import RequirementsEnvironment
from tests.conftest import MakePackage

MAKE = """
import pickle, sys
from sklearn.{module} import {name}
with open(sys.argv[1], "wb") as file:
    pickle.dump({name}().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]), file)
"""
HANDLER = """
import json, os, pickle

def model_fn(model_dir):
    with open(os.path.join(model_dir, "model.pkl"), "rb") as file:
        return pickle.load(file)

def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(data, model):
    return model.predict(data).tolist()

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def asked(minor: str) -> RequirementsEnvironment:
    # The older ones were built for numpy 1, and not all of them say so.
    return RequirementsEnvironment(requirements=(f"scikit-learn=={minor}.*", "numpy<2"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("made", "loaded", "module", "name", "passes"),
    [
        ("1.3", "1.5", "linear_model", "LinearRegression", True),
        # The nodes of a tree got a field in 1.3, and a pickle of 1.2 has none for it.
        ("1.2", "1.4", "tree", "DecisionTreeRegressor", False),
    ],
)
def test_model_of_another_scikit_learn_is_told_with_both_versions(
    made: str,
    loaded: str,
    module: str,
    name: str,
    passes: bool,
    package: MakePackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    long_count: Callable[[int], int],
) -> None:
    """From an index: the two are really installed, so only where there is time for all counts."""
    if long_count(10) < 10:
        pytest.skip("installs scikit-learn twice; run it with --long")
    monkeypatch.setenv("HANDLERPROOF_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model.pkl"
    plan = provided.plan(asked(made), tmp_path, ())
    with provided.kept(plan, exposed=False, note=print) as tree:
        code = MAKE.format(module=module, name=name)
        subprocess.run([tree / "bin" / "python", "-I", "-c", code, model], check=True)
    files = {"code/inference.py": HANDLER, "model.pkl": model.read_bytes()}
    spec = InferenceHandlerSpec(
        handler_name="h",
        packaged_model_path=str(package(files)),
        test_data_samples=(
            InferenceTestSample(
                sample_name="s",
                content_type="application/json",
                request_body="[[1.0]]",
                accept_types=("application/json",),
            ),
        ),
        environment=asked(loaded),
    )
    with RuntimeTester() as tester:
        result = tester.test_inference_handler(spec)
    assert result.overall_success == passes
    (warning,) = [text for text in result.warnings if "scikit-learn" in text]
    assert f"made with scikit-learn {made}." in warning
    assert f"loaded with {loaded}." in warning
    found = [each.message for each in result.diagnoses if each.code == "HP203"]
    assert any(f"scikit-learn {made}." in text and f"by {loaded}." in text for text in found)
