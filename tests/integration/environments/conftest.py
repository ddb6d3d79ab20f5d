"""What the tests of environments share: a cache and an index of their own, and handlers to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester
from harness.environments import builder
from harness.environments.builder import Builder
from tests import wheels
from tests.conftest import MakePackage

HANDLER = """
import small

def model_fn(model_dir):
    return small.__version__

def predict_fn(data, model):
    return {"version": model}

def output_fn(prediction, accept):
    import json
    return json.dumps(prediction)
"""
SEES = """
import importlib.util

def model_fn(model_dir):
    return [name for name in ("small", "other", "pydantic") if importlib.util.find_spec(name)]

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return ",".join(prediction)
"""
# The toolkit's own takes numpy, which these environments do not have.
INPUT = """

def input_fn(body, content_type):
    return body
"""
SAMPLE = InferenceTestSample(
    sample_name="s",
    content_type="application/json",
    request_body="[1]",
    accept_types=("application/json",),
)


class Yard:
    """A cache, a directory of wheels, and handlers that are run with both."""

    def __init__(self, root: Path, package: MakePackage) -> None:
        self.cache = root / "cache" / "environments"
        self.wheels = root / "wheels"
        self.package = package
        self.notes: list[str] = []

    def wheel(self, name: str, version: str, **options: Any) -> Path:
        """Put a wheel on the index."""
        return wheels.make(self.wheels, name, version, **options)

    def spec(
        self, asked: str, code: str = HANDLER, /, *, isolation: Any = "auto", **environment: Any
    ) -> InferenceHandlerSpec:
        """Ask for a package with these requirements, in an environment of them."""
        files = {"code/inference.py": code + INPUT, "code/requirements.txt": asked}
        return InferenceHandlerSpec(
            handler_name="h",
            packaged_model_path=str(self.package(files)),
            test_data_samples=(SAMPLE,),
            environment={"requirements": "auto", **environment},
            isolation=isolation,
        )

    def run(self, spec: InferenceHandlerSpec) -> InferenceTestResult:
        """Test a handler, and keep what was told meanwhile."""
        with RuntimeTester() as tester:
            return tester.test_inference_handler(spec, on_note=self.notes.append)

    def builds(self) -> int:
        """Count what was built so far."""
        return sum(note.startswith("building") for note in self.notes)

    def half_built(self) -> set[str]:
        """Name what lies in the cache beside whole environments and the locks."""
        if not self.cache.is_dir():
            return set()
        whole = {path.stem for path in self.cache.glob("*.json")}
        return {
            path.name
            for path in self.cache.iterdir()
            if path.suffix not in (".json", ".lock", ".exposed")
            and path.name.partition("-")[0] not in whole
        }


@pytest.fixture(params=["uv", "pip"])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Build with either tool; uv may not be here, and pip takes long: few tests need both."""
    if request.param == "uv" and builder.choose().kind != "uv":
        pytest.skip("uv is not here")
    if request.param == "pip":
        monkeypatch.setattr(builder, "choose", lambda: Builder("pip"))
    return str(request.param)


@pytest.fixture
def yard(tmp_path: Path, package: MakePackage, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """Have a cache of one's own, and nothing but a directory of wheels for an index."""
    made = Yard(tmp_path, package)
    made.wheels.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HANDLERPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.wheels))
    made.wheel("small", "1.0")
    made.wheel("small", "2.0")
    return made


def version(result: InferenceTestResult) -> str | None:
    """Give the version that a handler answered with."""
    return result.end_to_end_results[0].response.body
