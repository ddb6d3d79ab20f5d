"""The table of diagnoses: whole, documented, explained."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import diagnoses
from harness.cli import main
from harness.errors import SpecError

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "diagnoses.md"
SUBJECTS = {
    "1": "The package",
    "2": "Loading",
    "3": "Signatures",
    "4": "The request",
    "5": "The prediction",
    "6": "The response",
    "7": "The platform",
    "8": "Lint alone",
    "9": "The sandbox of the test",
}


def document() -> str:
    parts = [
        "# Diagnoses",
        "Known mistakes, by the codes that results, reports and `handlerproof lint` give them. A "
        "code is claimed\nonly when the mistake was seen; codes never change their meaning. This "
        "page is generated from\n`harness/diagnoses.py`: `HANDLERPROOF_GOLDEN=write pytest "
        "tests/unit/test_diagnoses.py`.",
    ]
    subject = ""
    for code, entry in diagnoses.TABLE.items():
        if code[2] != subject:
            subject = code[2]
            parts.append(f"## {SUBJECTS[subject]}")
        parts.append(f"### {code}: {entry.title}")
        parts.append(f"{entry.cause}\n\n*Fix:* {entry.fix}\n\n*A client sees:* {entry.client}")
    return "\n\n".join(parts) + "\n"


def test_document_is_the_table() -> None:
    if os.environ.get("HANDLERPROOF_GOLDEN") == "write":
        DOCUMENT.write_text(document(), encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_codes_are_in_order_and_every_sentence_ends() -> None:
    assert list(diagnoses.TABLE) == sorted(diagnoses.TABLE)
    for code, entry in diagnoses.TABLE.items():
        assert re.fullmatch(r"HP[1-9]\d\d", code)
        for text in (entry.cause, entry.fix, entry.client):
            assert text.rstrip("'\")")[-1] in ".:`" or text.endswith((".", ".'")), (code, text)


def test_every_code_that_is_claimed_is_in_the_table_and_the_other_way_round() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "harness").rglob("*.py")
        if path.name != "diagnoses.py"
    )
    claimed = set(re.findall(r"\"(HP\d{3})\"", sources))
    assert claimed == set(diagnoses.TABLE)


def test_explain() -> None:
    found = CliRunner().invoke(main, ["explain", "hp401"])
    assert found.exit_code == 0
    assert found.output.startswith("HP401: a single row becomes one-dimensional\n")
    every = CliRunner().invoke(main, ["explain"]).output
    assert [line[:5] for line in every.splitlines()] == list(diagnoses.TABLE)


def test_unknown_code_is_a_clear_error() -> None:
    found = CliRunner().invoke(main, ["explain", "HP490"])
    assert found.exit_code == 2
    assert re.search(r"no diagnosis 'HP490'; near it are .*HP4", found.output)
    with pytest.raises(SpecError, match="lists all"):
        diagnoses.explain("nonsense")
