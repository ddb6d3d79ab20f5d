"""The table of faults is complete: every file has a row, every case of the suite is there."""

import ast
from collections import Counter
from pathlib import Path

from tests.adversarial.faults import ELSEWHERE, FAULTS, FAULTY, REQUIRED


def test_every_faulty_handler_is_in_the_table() -> None:
    named = {fault.file for fault in FAULTS} | {case.file for case in ELSEWHERE if case.file}
    assert named == {path.stem for path in FAULTY.glob("*.py")}


def test_every_required_case_is_in_the_table() -> None:
    cases = {fault.case for fault in FAULTS} | {case.case for case in ELSEWHERE}
    assert cases == REQUIRED


def test_no_row_is_there_twice() -> None:
    counts = Counter((fault.id, *fault.limits.items()) for fault in FAULTS)
    assert [row for row, count in counts.items() if count > 1] == []


def test_every_case_elsewhere_has_its_test() -> None:
    modules = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    nodes = [node for module in modules for node in module.body]
    tests = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assert {case.test for case in ELSEWHERE} <= tests


def test_every_faulty_handler_says_what_it_does_and_has_the_four_functions() -> None:
    for path in FAULTY.glob("*.py"):
        module = ast.parse(path.read_text())
        functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
        assert ast.get_docstring(module), path
        assert {"model_fn", "input_fn", "predict_fn", "output_fn"} <= functions, path
