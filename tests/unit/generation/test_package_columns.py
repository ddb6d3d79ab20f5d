"""What a package says of its columns, in each of the ways that packages have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness import InferenceHandlerSpec, InferenceTestSample
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.generation import package_columns
from harness.generation.columns import Columns

Make = Callable[[Mapping[str, "str | bytes"]], Path]
CODE = {"code/inference.py": "def model_fn(model_dir):\n    return None\n"}
SIGNATURE = json.dumps(
    [
        {"type": "double", "name": "age", "required": True},
        {"type": "string", "name": "it's", "required": True},
    ]
).replace("'", "''")


def of(package: Make, files: Mapping[str, str]) -> Columns | None:
    spec = InferenceHandlerSpec(
        handler_name="columns", packaged_model_path=str(package({**CODE, **files}))
    )
    with RunDirectory() as run:
        return package_columns.of_package(open_package(spec, run))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"feature_columns.txt": "age\nincome\n"}, ["age", "income"]),
        ({"feature_columns.txt": "# made by training\n0,age\n1,income\n"}, ["age", "income"]),
        ({"code/feature_columns.txt": "age\r\n\r\nincome"}, ["age", "income"]),
        ({"hyperparameters.json": '{"feature_columns": "[\\"a\\", \\"b\\"]"}'}, ["a", "b"]),
        ({"hyperparameters.json": '{"features": "a, b"}'}, ["a", "b"]),
        ({"hyperparameters.json": '{"num_features": "2"}'}, ["feature_0", "feature_1"]),
        ({"MLmodel": f"flavors:\n  x: 1\nsignature:\n  inputs: '{SIGNATURE}'\n"}, ["age", "it's"]),
        ({"feature_columns.txt": "a", "hyperparameters.json": '{"features": "b"}'}, ["a"]),
    ],
)
def test_columns_of_a_package(package: Make, files: Mapping[str, str], names: list[str]) -> None:
    found = of(package, files)
    assert found is not None
    assert found.names == names


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"feature_columns.txt": "\n# nothing\n"},
        {"hyperparameters.json": "[1]"},
        {"hyperparameters.json": "{not json"},
        {"hyperparameters.json": '{"num_features": true, "max_depth": 5}'},
        {"hyperparameters.json": '{"num_features": 99999999999}'},
        {"MLmodel": 'signature:\n  inputs: \'[{"type": "tensor"}]\'\n'},
        {"MLmodel": "signature:\n  inputs: 'oops'\n"},
    ],
)
def test_package_that_says_nothing(package: Make, files: Mapping[str, str]) -> None:
    assert of(package, files) is None


@pytest.mark.parametrize(
    ("content_type", "body", "names", "kinds"),
    [
        ("text/csv", "age,city\n1,Rome\n2,Oslo\n", ["age", "city"], ["integer", "text"]),
        ("text/csv; charset=utf-8", "1.5,x\n", ["feature_0", "feature_1"], ["number", "text"]),
        ("application/json", '[{"age": 1.5, "city": "Rome"}]', ["age", "city"], ["number", "text"]),
        ("application/json", '{"age": 1}', None, None),
        ("application/json", '{"a": 1, "b": 2}', ["a", "b"], ["integer", "integer"]),
        ("application/json", '{"instances": [[1, 2]]}', ["feature_0", "feature_1"], None),
        ("application/json", "[1.0, 2.0]", ["feature_0", "feature_1"], None),
        ("application/json", "{", None, None),
        ("application/json", "[]", None, None),
        ("text/csv", "", None, None),
        ("text/plain", "1,2", None, None),
    ],
)
def test_columns_of_a_sample(
    content_type: str, body: str, names: list[str] | None, kinds: list[str] | None
) -> None:
    found = package_columns.of_sample(
        InferenceTestSample(sample_name="s", content_type=content_type, request_body=body)
    )
    assert (found and found.names) == names
    if kinds is not None:
        assert found is not None
        assert [column.kind for column in found.columns] == kinds
