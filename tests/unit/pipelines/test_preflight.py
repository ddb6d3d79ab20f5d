"""Each mistake that can be seen before anything runs is one clear sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import (
    InferenceHandlerSpec,
    InferencePipelineTestingSpec,
    PipelineDAG,
    PipelineError,
)
from harness.pipelines import preflight
from harness.pipelines.wiring import wire

MAIN = "def main(input_paths, output_paths, environ_vars, job_args):\n    pass\n"


def pipeline(folder: Path, **fields: Any) -> InferencePipelineTestingSpec:
    """Make a pipeline of a loader, a training and a handler that has nothing wrong with it."""
    (folder / "scripts").mkdir(exist_ok=True)
    for name in ("load", "train"):
        (folder / "scripts" / f"{name}.py").write_text(MAIN)
    (folder / "handler.py").write_text("")
    given: dict[str, Any] = {
        "dag": PipelineDAG(["load", "train", "serve"], [("load", "train"), ("train", "serve")]),
        "script_specs": {
            "load": {"output_paths": {"data_output": str(folder / "load/out")}},
            "train": {
                "input_paths": {"data_input": str(folder / "train/in")},
                "output_paths": {"model_output": str(folder / "train/out")},
            },
        },
        "inference_handlers": {
            "serve": InferenceHandlerSpec(
                handler_name="serve", handler_path=str(folder / "handler.py")
            )
        },
        "test_workspace_root": str(folder),
    }
    return InferencePipelineTestingSpec(**(given | fields))


def check(spec: InferencePipelineTestingSpec, nodes: list[str] | None = None) -> str:
    """Give the refusal of a pipeline; nothing: none."""
    try:
        preflight.check(spec, wire(spec), nodes)
    except PipelineError as error:
        return str(error)
    return ""


def changed(spec: InferencePipelineTestingSpec, node: str, **update: Any) -> Any:
    scripts = dict(spec.script_specs)
    scripts[node] = scripts[node].model_copy(update=update)
    return spec.model_copy(update={"script_specs": scripts})


def test_a_pipeline_without_a_mistake_is_let_through(tmp_path: Path) -> None:
    assert check(pipeline(tmp_path)) == ""


def test_no_nodes(tmp_path: Path) -> None:
    spec = InferencePipelineTestingSpec(dag=PipelineDAG(), test_workspace_root=str(tmp_path))
    assert check(spec) == "the pipeline has no nodes; there is nothing to test"


def test_a_node_without_a_spec(tmp_path: Path) -> None:
    spec = pipeline(tmp_path, inference_handlers={})
    assert check(spec) == (
        "the node 'serve' has no spec; add it to script_specs or inference_handlers"
    )


def test_two_nodes_that_write_one_path(tmp_path: Path) -> None:
    path = f"{tmp_path}/train/../load/out"
    spec = changed(pipeline(tmp_path), "train", output_paths={"model_output": path})
    assert check(spec) == (
        f"load.data_output and train.model_output both write {path}; give each its own path"
    )


def test_an_input_that_is_missing_and_that_no_edge_feeds(tmp_path: Path) -> None:
    spec = pipeline(tmp_path)
    there = tmp_path / "config.json"
    inputs = {**spec.script_specs["train"].input_paths, "config": str(there)}
    spec = changed(spec, "train", input_paths=inputs)
    assert check(spec) == (
        f"train: the input 'config' is not at {there}, and no output of load has a name like it; "
        "put the input there, or give it an alias"
    )
    there.write_text("{}")
    assert check(spec) == ""
    spec = changed(spec, "load", input_paths={"raw": str(tmp_path / "raw")})
    assert "no edge leads to the node" in check(spec)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    spec = pipeline(tmp_path)
    path = tmp_path / "scripts" / "train.py"
    path.unlink()
    assert check(spec) == (f"train: there is no script at {path}; set script_path, or put it there")
    named = changed(spec, "train", script_path=str(tmp_path / "x.py"))
    assert check(named) == f"train: there is no script at {tmp_path / 'x.py'}"


def test_a_handler_whose_files_are_not_there(tmp_path: Path) -> None:
    spec = pipeline(
        tmp_path,
        inference_handlers={
            "serve": {"handler_name": "serve", "handler_path": str(tmp_path / "h.py"),
                      "payload_samples_path": str(tmp_path / "payloads")}
        },
    )  # fmt: skip
    assert check(spec).splitlines() == [
        "the pipeline has 2 problems:",
        f"- serve: payload_samples_path is not at {tmp_path / 'payloads'}, and no edge feeds it",
        f"- serve: handler_path is not at {tmp_path / 'h.py'}, and no edge feeds it",
    ]


def test_a_handler_s_package_that_an_edge_feeds_need_not_be_there(tmp_path: Path) -> None:
    spec = pipeline(
        tmp_path,
        inference_handlers={
            "serve": {"handler_name": "serve", "packaged_model_path": str(tmp_path / "m.tar.gz")}
        },
    )
    assert "packaged_model_path is not at" in check(spec) or wire(spec).feeds["serve"]
    outputs = {"packaged_model": str(tmp_path / "out")}
    spec = changed(spec, "train", output_paths=outputs)
    assert check(spec) == ""


def test_only_the_chosen_nodes_are_looked_at(tmp_path: Path) -> None:
    spec = pipeline(tmp_path, inference_handlers={})
    (tmp_path / "scripts" / "train.py").unlink()
    assert check(spec, ["load"]) == ""
    assert check(spec, ["load", "train"]).startswith("train: there is no script")


def test_a_chosen_node_that_is_not_there(tmp_path: Path) -> None:
    message = check(pipeline(tmp_path), ["trian"])
    assert message.startswith(
        "the dag has no such node: unknown name 'trian', did you mean 'train'"
    )


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    spec = pipeline(tmp_path, inference_handlers={})
    (tmp_path / "scripts" / "train.py").write_text("print('hello')\n")
    (tmp_path / "scripts" / "load.py").unlink()
    assert [line[:2] for line in check(spec).splitlines()] == ["th", "- ", "- ", "- "]


REST = "input_paths, output_paths, environ_vars, job_args"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "defines no main; write main("),
        ("class A:\n    def main(self): pass\n", "defines no main"),
        ("def other():\n    def main(): pass\n", "defines no main"),
        (f"async def main({REST}): pass\n", "main is async"),
        ("def main(input_paths, output_paths): pass\n", "main lacks environ_vars, job_args"),
        (f"def main({REST}, extra): pass\n", "without a default: extra"),
        (f"def main({REST}, *, flag): pass\n", "without a default: flag"),
        ("def main(input_paths, /, output_paths, environ_vars, job_args): pass\n", "input_paths"),
    ],
)
def test_a_main_that_cannot_be_called(tmp_path: Path, text: str, words: str) -> None:
    spec = pipeline(tmp_path)
    (tmp_path / "scripts" / "train.py").write_text(text)
    assert words in check(spec)
    assert check(changed(spec, "train", arguments=["--fast"])) == ""


@pytest.mark.parametrize(
    "text",
    [
        f"def main({REST}, logger=None, *rest, flag=1, **more): pass\n",
        "def main(**everything): pass\n",
        "def main(job_args, environ_vars, output_paths, input_paths): pass\n",
        "from elsewhere import main\n",
        "from elsewhere import run as main\n",
        "from elsewhere import *\n",
        "import functools\nmain = functools.partial(print)\n",
        f"try:\n    import x\nexcept ImportError:\n    def main({REST}): pass\n",
        "this is no Python\n",
        "\0",
    ],
)
def test_a_main_that_may_be_called(tmp_path: Path, text: str) -> None:
    spec = pipeline(tmp_path)
    (tmp_path / "scripts" / "train.py").write_text(text)
    assert check(spec) == ""
