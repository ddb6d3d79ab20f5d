"""Edges that are broken as edges break: the smallest adapter is proposed, and makes each pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester
from harness.pipeline_results import AdapterProposal
from tests.integration.made_pipelines import Made

NUMBERS = """
import csv, io
def model_fn(model_dir): return 2
def input_fn(body, content_type):
    assert content_type == "text/csv", "unsupported content type " + str(content_type)
    return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(body))]
def predict_fn(rows, model):
    for row in rows:
        if len(row) != model: raise ValueError("%d features, expected %d" % (len(row), model))
    return [sum(row) for row in rows]
def output_fn(prediction, accept): return str(prediction)
"""
JSON = """
import json
def model_fn(model_dir): return None
def input_fn(body, content_type):
    assert content_type == "application/json", "unsupported content type " + str(content_type)
    return json.loads(body)
def predict_fn(data, model):
    TAKES
def output_fn(prediction, accept): return json.dumps(prediction)
"""


def takes(line: str) -> str:
    return JSON.replace("TAKES", line)


TENURES = takes('return [row["tenure_months"] for row in data]')
RECORD = takes('return data["a"] + data["b"]')
LIST = takes('return [row["a"] for row in list(data) if isinstance(row, dict) or 1 / 0]')
INSTANCES = takes('return data["instances"] if isinstance(data, dict) else {}["instances"]')
READ_A = """
with open(os.path.join(input_paths["first_data"], "rows.csv"), newline="") as file:
    total = sum(int(row["amount"]) for row in csv.DictReader(file))
"""


@dataclass(frozen=True)
class Broken:
    """What is written and to which file; the handler or the script that refuses it; the adapter."""

    file: str
    text: str
    adapter: tuple[str, ...]
    handler: str | None = None
    script: str | None = None
    under: str | None = None


BROKEN = {
    "header": Broken("rows.csv", "a,b\n1,2\n3,4\n", ("drop the header",), NUMBERS),
    "label": Broken("rows.csv", "1,2,0\n3,4,1\n", ("drop the column 3",), NUMBERS),
    "header and label": Broken(
        "rows.csv",
        "label,a,b\n0,1,2\n1,3,4\n",
        ("drop the column 'label'", "drop the header"),
        NUMBERS,
    ),
    "semicolons": Broken("rows.csv", "1;2\n3;4\n", ("part the columns by ','",), NUMBERS),
    "empty cells": Broken(
        "rows.csv", "1,2\n3,\n5,6\n", ("drop the rows with empty cells",), NUMBERS
    ),
    "byte order mark": Broken("rows.csv", "\ufeff1,2\n", ("drop the byte order mark",), NUMBERS),
    "other type": Broken("rows.txt", "1,2\n", ("send as text/csv",), NUMBERS),
    "JSON to CSV": Broken(
        "rows.json",
        '[{"a": 1, "b": 2}]',
        ("CSV without a header instead of JSON",),
        NUMBERS,
        under="text/csv",
    ),
    "CSV to JSON": Broken(
        "rows.csv",
        "tenure_months,x\n1,2\n",
        ("JSON records instead of CSV",),
        TENURES,
        under="application/json",
    ),
    "renamed column": Broken(
        "rows.json",
        '[{"tenure": 1, "x": 2}]',
        ("rename the column 'tenure' to 'tenure_months'",),
        TENURES,
    ),
    "list for a record": Broken(
        "rows.json",
        '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]',
        ("one record instead of a list",),
        RECORD,
    ),
    "record for a list": Broken(
        "row.json", '{"a": 1, "b": 2}', ("a list of the one record",), LIST
    ),
    "wrapped list": Broken(
        "rows.json",
        '{"data": [{"a": 1}]}',
        ("the list of 'data' without the object around it",),
        LIST,
    ),
    "list to wrap": Broken(
        "rows.json", "[[1, 2]]", ("an object with the list as 'instances'",), INSTANCES
    ),
    "lines": Broken("rows.jsonl", '{"a": 1}\n{"a": 2}\n', ("a JSON list instead of lines",), LIST),
    "script: renamed column": Broken(
        "rows.csv",
        "amounts,x\n1,2\n3,4\n",
        ("rename the column 'amounts' to 'amount'",),
        script=READ_A,
    ),
    "script: other file": Broken(
        "data.csv", "amount,x\n1,2\n", ("name the file 'rows.csv'",), script=READ_A
    ),
    "script: column too many": Broken(
        "rows.csv",
        "id,a,b\n7,1,2\n",
        ("drop the column 'id'",),
        script="""
with open(os.path.join(input_paths["first_data"], "rows.csv"), newline="") as file:
    names = next(csv.reader(file))
if len(names) != 2:
    sys.exit("two columns are expected, not %s" % names)
""",
    ),
    "script: list for a record": Broken(
        "row.json",
        '[{"a": 1}, {"a": 2}]',
        ("one record instead of a list",),
        script="""
with open(os.path.join(input_paths["first_data"], "row.json")) as file:
    json.load(file).items()
""",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_adapter_of_a_broken_edge_makes_it_pass(name: str, tmp_path: Path) -> None:
    broken = BROKEN[name]
    made = pipeline(tmp_path, broken)
    with RuntimeTester() as tester:
        result = tester.test_pipeline(made.spec())
        edge = result.edge("first", "second")
        assert not result.pipeline_success
        assert not edge.compatible
        assert edge.compatibility_issues
        assert edge.adapter is not None, edge
        assert tuple(step.detail for step in edge.adapter.changes) == broken.adapter
        assert mended(tester, tmp_path, broken, edge.adapter)


def pipeline(folder: Path, broken: Broken) -> Made:
    made = Made(folder / "broken")
    place = f'os.path.join(output_paths["first_data"], {broken.file!r})'
    made.script("first", f'open({place}, "w").write({broken.text!r})')
    if broken.script is not None:
        made.script("second", broken.script, {"first_data": "first"})
    else:
        types = {"supported_content_types": [broken.under]} if broken.under else {}
        made.handler("second", broken.handler or "", ["first"], **types)
    return made


def mended(tester: RuntimeTester, folder: Path, broken: Broken, adapter: AdapterProposal) -> bool:
    """Give what the adapter made of the data, by hand, to the one that had refused it."""
    assert adapter.preview is not None
    again = pipeline(folder / "mended", broken)
    if broken.script is None:
        spec = InferenceHandlerSpec(
            handler_name="second",
            handler_path=again.handlers["second"]["handler_path"],
            test_data_samples=(
                InferenceTestSample(
                    sample_name="adapted",
                    content_type=adapter.content_type,
                    request_body=adapter.preview,
                ),
            ),
        )
        return tester.test_inference_handler(spec).overall_success
    name = broken.adapter[0].split("'")[1] if "name the file" in broken.adapter[0] else broken.file
    script = again.spec().script_specs["second"]
    data = folder / "adapted"
    data.mkdir()
    (data / name).write_text(adapter.preview)
    return tester.test_script_with_spec(script, {"input_paths": {"first_data": data}}).success


def test_handler_with_transform_fn_is_sent_requests_too(tmp_path: Path) -> None:
    code = """
import json
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    return json.dumps([row["a"] for row in list(json.loads(body))]), "application/json"
"""
    made = Made(tmp_path)
    line = 'open(os.path.join(output_paths["first_data"], "x.json"), "w").write({!r})'
    made.script("first", line.format('{"data": [{"a": 1}]}'))
    made.handler("second", code, ["first"])
    with RuntimeTester() as tester:
        edge = tester.test_pipeline(made.spec()).edge("first", "second")
        assert not edge.compatible
        assert edge.adapter is not None
        made.script("third", line.replace("first", "third").format('[{"a": 1}]'))
        made.handler("fourth", code, ["third"])
        assert tester.test_pipeline(made.spec()).edge("third", "fourth").compatible


def test_edge_that_nothing_mends_has_no_adapter(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.script(
        "first",
        'open(os.path.join(output_paths["first_data"], "x.csv"), "w").write("a,b\\n1,2\\n")',
    )
    made.handler("second", NUMBERS.replace("len(row) != model", "True"), ["first"])
    with RuntimeTester() as tester:
        edge = tester.test_pipeline(made.spec()).edge("first", "second")
    assert not edge.compatible
    assert edge.adapter is None


def test_adapter_blames_the_one_edge_that_it_mends(tmp_path: Path) -> None:
    """The data of the other edge was taken as it is, so that edge is compatible."""
    made = Made(tmp_path)
    made.script("left", 'open(os.path.join(output_paths["left_data"], "x.json"), "w").write("{}")')
    made.script(
        "right", 'open(os.path.join(output_paths["right_data"], "x.json"), "w").write("[{}]")'
    )
    made.script(
        "both",
        """
for name in "left_data", "right_data":
    with open(os.path.join(input_paths[name], "x.json")) as file:
        json.load(file).items()
""",
        {"left_data": "left", "right_data": "right"},
    )
    with RuntimeTester() as tester:
        result = tester.test_pipeline(made.spec())
    assert result.edge("left", "both").compatible
    assert not result.edge("right", "both").compatible
    assert result.edge("right", "both").adapter is not None
