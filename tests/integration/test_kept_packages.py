"""Tests of one tester, and of one batch, unpack a package once, and do not meet in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import InferenceHandlerSpec, InferenceTestResult, RuntimeTester
from harness.artifacts import archive
from tests.adversarial import levels
from tests.conftest import MakePackage

STAGES = """
def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    return model

def output_fn(prediction, accept):
    return str(prediction), accept
"""
# Passes only when nobody was here before.
WRITES = """
import os

def model_fn(model_dir):
    assert os.path.getsize(model_dir + "/weights.bin") == 4
    with open(model_dir + "/weights.bin", "ab") as weights:
        weights.write(b"more")
    return model_dir
"""
# What Landlock refuses, and what it lets pass.
TAMPERS = """
import os

def model_fn(model_dir):
    path = model_dir + "/weights.bin"
    assert os.stat(path).st_mode & 0o777 == 0o644, "somebody was here before"
    writes = (lambda: open(path, "ab"), lambda: os.unlink(path), lambda: os.mkdir(path + "2"))
    for refused in writes:
        try:
            refused()
        except OSError:
            continue
        raise AssertionError("the model directory can be written")
    try:
        os.chmod(path, 0o777)
    except OSError:
        pass
    return model_dir
"""


@pytest.fixture
def unpackings(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    counts: Counter[Path] = Counter()
    real = archive.unpack

    def unpack(source: Path, into: Path, **options: Any) -> archive.Unpacked:
        counts[source] += 1
        return real(source, into, **options)

    monkeypatch.setattr(archive, "unpack", unpack)
    return counts


def spec_for(package: MakePackage, model_fn: str, **fields: Any) -> InferenceHandlerSpec:
    files = {"code/inference.py": model_fn + STAGES, "weights.bin": "four"}
    sample = {"sample_name": "row", "content_type": "text/csv", "request_body": "1"}
    given = {"handler_name": "handler", "supported_accept_types": ["text/csv"], **fields}
    return InferenceHandlerSpec(
        packaged_model_path=str(package(files, as_archive=True)),
        test_data_samples=[sample],
        **given,
    )


def place(result: InferenceTestResult) -> str:
    assert result.overall_success, result.errors
    return str(result.end_to_end_results[0].response.body)


def test_batch_unpacks_a_package_once(package: MakePackage, unpackings: Counter[Path]) -> None:
    spec = spec_for(package, WRITES)
    specs = [spec.model_copy(update={"handler_name": f"handler {n}"}) for n in range(4)]
    result = RuntimeTester().run_batch(specs, jobs=2)
    assert all(entry.success for entry in result.entries), result
    for entry in result.entries:
        assert "the handler changed weights.bin in the model directory" in entry.result.warnings
    assert list(unpackings.values()) == [1]


def test_stacks_share_a_package(package: MakePackage, unpackings: Counter[Path]) -> None:
    RuntimeTester().compare_stacks(spec_for(package, WRITES, stack="pytorch"))
    assert list(unpackings.values()) == [1]


def test_without_a_block_nothing_is_kept(package: MakePackage, unpackings: Counter[Path]) -> None:
    spec, tester = spec_for(package, WRITES), RuntimeTester()
    assert place(tester.test_inference_handler(spec)) != place(tester.test_inference_handler(spec))
    assert list(unpackings.values()) == [2]


@pytest.mark.parametrize("isolation", ["auto", "bwrap", "max"])
def test_who_cannot_write_reads_what_others_read(
    package: MakePackage, unpackings: Counter[Path], isolation: str
) -> None:
    needed = {"auto": "landlock"}.get(isolation, "bwrap")
    if not levels.layers.PROBES[needed]().works:
        pytest.skip(f"no {needed} here")
    spec = spec_for(package, TAMPERS, isolation=isolation, model_dir_writable=False)
    with RuntimeTester() as tester:
        first = place(tester.test_inference_handler(spec))
        second = place(tester.test_inference_handler(spec))
    assert Path(first).parent == Path(second).parent, "each had a copy of its own"
    # Landlock does not refuse a change of rights: it shows, and the tree is made anew.
    assert list(unpackings.values()) == [2 if isolation == "auto" else 1]


def test_whom_nothing_holds_back_has_a_copy(
    package: MakePackage, unpackings: Counter[Path]
) -> None:
    spec = spec_for(package, WRITES, isolation="process", model_dir_writable=False)
    with RuntimeTester() as tester:
        places = {place(tester.test_inference_handler(spec)) for _ in range(2)}
    assert len(places) == 2
    assert list(unpackings.values()) == [1]
