"""Generated samples against real handlers: valid ones are answered, error samples refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import InferenceHandlerSpec, InferenceTestResult, RuntimeTester, SpecError
from harness.cli import main
from harness.generation import directory
from harness.generation.generator import Generated, InferenceTestDataGenerator
from tests.conftest import Files, MakePackage
from tests.handlers.good import packages

XGBOOST = """
import json, os
import numpy, xgboost

def model_fn(model_dir):
    booster = xgboost.Booster()
    booster.load_model(os.path.join(model_dir, "model.json"))
    return booster

def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError("unsupported content type: %s" % content_type)
    rows = [[float(cell) for cell in line.split(",")] for line in body.splitlines() if line]
    return xgboost.DMatrix(numpy.array(rows))

def predict_fn(rows, model):
    return model.predict(rows)

def output_fn(scores, accept):
    return json.dumps(scores.tolist()), "application/json"
"""
TRAIN_XGBOOST = """
import sys
import numpy, xgboost
rows = numpy.random.default_rng(1).uniform(0, 10, size=(50, 3))
data = xgboost.DMatrix(rows, label=rows[:, 0] > 5)
xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 3).save_model(sys.argv[1])
"""
PANDAS = """
import io, json, os
import pandas

def model_fn(model_dir):
    return [line.strip() for line in open(os.path.join(model_dir, "feature_columns.txt"))]

def input_fn(body, content_type):
    if content_type == "text/csv":
        table = pandas.read_csv(io.StringIO(body))
    elif content_type == "application/json":
        table = pandas.DataFrame(json.loads(body))
    else:
        raise ValueError("unsupported content type: %s" % content_type)
    return table

def predict_fn(table, columns):
    if list(table.columns) != columns:
        raise ValueError("wrong feature count or names: %s" % list(table.columns))
    return table.astype(float).sum(axis=1)

def output_fn(sums, accept):
    return json.dumps(sums.tolist()), "application/json"
"""


def generated(package: Path, **options: object) -> Generated:
    return InferenceTestDataGenerator.generate_for_handler(spec_for(package), **options)  # type: ignore[arg-type]


def spec_for(package: Path, **fields: object) -> InferenceHandlerSpec:
    return InferenceHandlerSpec(
        handler_name="generated",
        packaged_model_path=str(package),
        supported_accept_types=["application/json"],
        **fields,  # type: ignore[arg-type]
    )


def outcome_of(package: Path, payloads: Path) -> InferenceTestResult:
    with RuntimeTester() as tester:
        return tester.test_inference_handler(spec_for(package, payload_samples_path=str(payloads)))


@pytest.fixture(scope="module")
def booster(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model = tmp_path_factory.mktemp("xgboost") / "model.json"
    subprocess.run([sys.executable, "-c", TRAIN_XGBOOST, model], check=True)
    return model.read_bytes()


def sklearn_files(_: Callable[[], bytes]) -> Files:
    return {**packages.files("sklearn"), "feature_columns.txt": "amount\nage_days\n"}


def xgboost_files(booster: Callable[[], bytes]) -> Files:
    return {"code/inference.py": XGBOOST, "model.json": booster()}


def pandas_files(_: Callable[[], bytes]) -> Files:
    return {"code/inference.py": PANDAS, "feature_columns.txt": "amount\nage_days\n"}


@pytest.mark.parametrize(
    ("files", "source", "kept"),
    [
        (sklearn_files, "feature_columns.txt", {"csv", "json_records"}),
        (xgboost_files, "the Booster that model_fn loads", {"csv"}),
        (pandas_files, "feature_columns.txt", {"csv_header", "json_records", "json_split"}),
    ],
)
def test_valid_samples_are_answered_and_error_samples_refused_where_expected(
    package: MakePackage,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    files: Callable[[Callable[[], bytes]], Files],
    source: str,
    kept: set[str],
) -> None:
    place = package(files(lambda: request.getfixturevalue("booster")))
    found = generated(place)
    assert found.columns.source == source
    answered = {name for name, fate in found.tried if fate == "answered"}
    assert kept - {"json_split"} <= answered <= kept
    directory.write(found.samples, tmp_path / "payloads")
    result = outcome_of(place, tmp_path / "payloads")
    assert result.overall_success, result.errors
    assert len(result.end_to_end_results) == len(found.samples)
    for sample in found.samples:
        if sample.should_succeed is False:
            (row,) = (
                row for row in result.end_to_end_results if row.sample_name == sample.sample_name
            )
            assert row.response.status != 200, sample.sample_name
            refusing = [
                stage.function_name
                for stage in result.function_results()
                if stage.sample_name == sample.sample_name
                and "expected_error" in stage.validation_details
            ]
            assert len(refusing) == 1, sample.sample_name
            assert refusing[0] in (sample.expected_stages or ()), sample.sample_name


def test_same_seed_gives_the_same_samples(package: MakePackage) -> None:
    place = package(sklearn_files(bytes))
    options = {"forms": ["csv"], "feature_names": ["amount", "age_days"]}
    first, second = generated(place, **options), generated(place, **options)
    assert first == second
    other = generated(place, **options, seed=1)
    assert [sample.sample_name for sample in other.samples] == [
        sample.sample_name for sample in first.samples
    ]
    assert other.samples[0].request_body != first.samples[0].request_body


def test_handler_whose_columns_nothing_tells(package: MakePackage) -> None:
    place = package({"code/inference.py": "def model_fn(model_dir):\n    return {}\n"})
    with pytest.raises(SpecError, match=r"put feature_columns\.txt beside the model"):
        generated(place)


def test_handler_that_answers_nothing_says_how_each_form_failed(package: MakePackage) -> None:
    code = "def model_fn(model_dir):\n    return {}\ndef input_fn(body, content_type):\n    1 / 0\n"
    place = package({"code/inference.py": code})
    with pytest.raises(SpecError, match=r"csv: input_fn: ZeroDivisionError.*npy: input_fn"):
        generated(place, feature_names=["a"], forms=["csv", "npy"])


NEEDS_A_VARIABLE = """
import json, os

def model_fn(model_dir):
    return float(os.environ["FACTOR_OF_TEST"])

def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError(content_type)
    return [float(cell) for cell in body.replace("\\n", ",").split(",") if cell]

def predict_fn(data, model):
    return [model * cell for cell in data]

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""
UNLOADABLE = {
    "model_fn raises": (NEEDS_A_VARIABLE, "model_fn raised KeyError: 'FACTOR_OF_TEST' (infer"),
    "import fails": (
        "import not_there\n",
        "the import of the handler raised ModuleNotFoundError: ",
    ),
    "syntax": ("def model_fn(:\n", "the import of the handler raised SyntaxError: "),
    "hangs": ("def model_fn(model_dir):\n    while True: pass\n", "model_fn timed out after 0.5 s"),
    "no model_fn": (
        "def predict(data, model):\n    return data\n",
        "model_fn raised NotImplementedError: Please provide a model_fn implementation.",
    ),
}


@pytest.mark.parametrize("columns", [[], ["--columns", "a,b"]])
@pytest.mark.parametrize("name", UNLOADABLE)
def test_reason_why_a_handler_is_not_loaded_is_told_once(
    package: MakePackage, tmp_path: Path, name: str, columns: list[str]
) -> None:
    code, said = UNLOADABLE[name]
    place = package({"code/inference.py": code})
    command = ["generate", str(place), "--output", str(tmp_path / "made"), "--timeout", "0.5"]
    done = CliRunner().invoke(main, [*command, *columns])
    assert done.exit_code == 2, done.output
    assert done.stderr.count("handlerproof: ") == 1
    assert f"handlerproof: {said}" in done.stderr
    assert ("give the variable with --env FACTOR_OF_TEST=..." in done.stderr) == (
        "KeyError" in said
    )
    assert not (tmp_path / "made").exists()


def test_options_of_run_make_the_handler_loadable(package: MakePackage, tmp_path: Path) -> None:
    place, output = package({"code/inference.py": NEEDS_A_VARIABLE}), str(tmp_path / "made")
    command = ["generate", str(place), "--output", output, "--columns", "a,b", "--form", "csv"]
    options = ["--env", "FACTOR_OF_TEST=2", "--python", sys.executable, "--stack", "sklearn"]
    limits = ["--memory", "1G", "--isolation", "process", "--network", "none"]
    done = CliRunner().invoke(main, [*command, *options, *limits])
    assert done.exit_code == 0, done.output
    assert "2 columns, from --columns\n" in done.stdout
    assert "csv             answered" in done.stdout
    assert "model_fn: passed" in done.stderr


def test_command_writes_a_directory_that_run_reads(package: MakePackage, tmp_path: Path) -> None:
    place = package(pandas_files(bytes))
    output = tmp_path / "made"
    command = ["generate", str(place), "--output", str(output), "--form", "csv_header"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "2 columns, from feature_columns.txt" in done.output
    assert (output / "samples.toml").is_file()
    ran = CliRunner().invoke(main, ["run", str(place), "--payloads", str(output)])
    assert ran.exit_code == 0, ran.output
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "is not empty" in again.output


@pytest.mark.parametrize("count", [1, 5, 100])
def test_samples_of_the_design(count: int) -> None:
    json_samples = InferenceTestDataGenerator.generate_json_samples(count)
    csv_samples = InferenceTestDataGenerator.generate_csv_samples(count)
    assert [sample.sample_name for sample in (*json_samples, *csv_samples)] == [
        "json_single_record",
        "json_array_format",
        "json_multiple_records",
        "json_malformed",
        "csv_single_row",
        "csv_multiple_rows",
        "csv_wrong_feature_count",
    ]
    row = ",".join(str(float(index)) for index in range(count))
    assert csv_samples[0].request_body == row
    assert csv_samples[1].request_body.count("\n") == 2  # type: ignore[arg-type]
    assert len(csv_samples[2].request_body.split(",")) == count + 2  # type: ignore[arg-type]
    assert (json_samples[3].should_succeed, json_samples[3].error_message_pattern) == (
        False,
        ".*JSON.*",
    )
    with pytest.raises(SpecError, match="feature_count must be from 1"):
        InferenceTestDataGenerator.generate_csv_samples(0)
