"""What became of a handler, and of a batch; and that both survive JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness import SpecError
from harness.batch_results import BatchResult, Change, Finding, NotRun, Status
from tests.unit import made_up

BROKEN = Finding(
    kind="budget", measure="prediction_s", holds=False, message="too slow", values=[3], bound=2
)


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (made_up.entry(), "passed"),
        (made_up.entry(earlier_attempts=["crashed"]), "flaky"),
        (made_up.entry(outcome="failed"), "failed"),
        (made_up.entry(outcome="raised"), "failed"),
        (made_up.entry(outcome="raised", earlier_attempts=["crashed"]), "failed"),
        (made_up.entry(outcome="crashed"), "error"),
        (made_up.entry(outcome="timed_out"), "error"),
        (made_up.entry(outcome="failed", fault="spec"), "error"),
        (made_up.entry(findings=[BROKEN]), "failed"),
        (made_up.entry(earlier_attempts=["crashed"], findings=[BROKEN]), "failed"),
    ],
)
def test_status_of_a_handler(entry: made_up.BatchEntry, status: str) -> None:
    assert entry.status == status
    assert entry.success == (status in ("passed", "flaky"))


def test_batch_of_nothing_is_no_success() -> None:
    assert not made_up.batch().success


def test_batch_with_handlers_not_run_is_no_success() -> None:
    left = NotRun(handler_name="fraud", reason="interrupted")
    assert made_up.batch(made_up.entry()).success
    assert not made_up.batch(made_up.entry(), not_run=[left]).success


def test_saved_batch_is_the_same_when_loaded(tmp_path: Path) -> None:
    batch = made_up.batch(
        made_up.entry("a", findings=[BROKEN], runs={"prediction_s": [1.0, 2.0]}),
        made_up.entry("b", "crashed", earlier_attempts=["crashed"], log="\x1b[31m\ud800"),
        made_up.entry("c", changes=[Change(place="model_fn", before="passed", now="raised")]),
        not_run=[NotRun(handler_name="d", reason="interrupted")],
        interrupted=True,
        warnings=["odd"],
    )
    batch.save(tmp_path / "batch.json")
    assert BatchResult.load(tmp_path / "batch.json") == batch
    assert batch.counts()[Status.error] == 1


def test_derived_fields_must_agree() -> None:
    given = json.loads(made_up.batch(made_up.entry(outcome="failed")).model_dump_json())
    given["entries"][0]["status"] = "passed"
    with pytest.raises(ValidationError, match="contradicts"):
        BatchResult.model_validate(given)


def test_file_that_is_no_batch_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"entries": 3}')
    with pytest.raises(SpecError, match="not a saved result of a batch"):
        BatchResult.load(tmp_path / "other.json")
    with pytest.raises(SpecError, match="Cannot read"):
        BatchResult.load(tmp_path / "none.json")
