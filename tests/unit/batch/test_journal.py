"""The journal: what was finished is there, whatever ended the tester."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import HarnessError, InferenceHandlerSpec, SpecError
from harness.batch.history import History
from harness.batch.journal import NAME, Journal, fingerprint
from harness.batch.task import Task
from tests.unit import made_up


def task(name: str = "a", **fields: object) -> Task:
    given = {"handler_name": name, "handler_path": "h.py"} | fields
    return Task(spec=InferenceHandlerSpec.model_validate(given))


def written(folder: Path, *names: str) -> list[Task]:
    tasks = [task(name) for name in names]
    with Journal(folder, resume=False) as journal:
        for item in tasks:
            journal.add(item, made_up.entry(item.spec.handler_name))
    return tasks


def resumed(folder: Path) -> set[str]:
    with Journal(folder, resume=True) as journal:
        return {entry.name for entry in journal.finished.values()}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    tasks = written(tmp_path, "a", "b")
    with Journal(tmp_path, resume=True) as journal:
        assert set(journal.finished) == set(map(fingerprint, tasks))
        assert journal.finished[fingerprint(tasks[0])] == made_up.entry("a")


def test_each_line_that_was_cut_off_costs_its_own_handler_only(tmp_path: Path) -> None:
    """Cut at every byte of the last line: a kill can come anywhere."""
    written(tmp_path, "a", "b")
    whole = (tmp_path / NAME).read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    for end in [*range(start, len(whole), 37), len(whole) - 1]:
        (tmp_path / NAME).write_bytes(whole[:end])
        assert resumed(tmp_path) == {"a"}
        with Journal(tmp_path, resume=True) as journal:
            journal.add(task("c"), made_up.entry("c"))
        assert resumed(tmp_path) == {"a", "c"}


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    written(tmp_path, "a")
    written(tmp_path, "b")
    assert resumed(tmp_path) == {"b"}


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\xff\n", b'{"journal": 99}\n', b"[1]\n"])
def test_file_that_is_no_journal_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert resumed(tmp_path) == set()
    written(tmp_path, "a")
    assert resumed(tmp_path) == {"a"}


def test_two_batches_do_not_share_one(tmp_path: Path) -> None:
    with (
        Journal(tmp_path, resume=False),
        pytest.raises(SpecError, match="another batch is using"),
    ):
        Journal(tmp_path, resume=False)


@contextmanager
def disk_with(limit: int) -> Iterator[None]:
    """Have writes fail beyond a size, as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_full_disk_is_a_clear_error_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    written(tmp_path, "a")
    size = (tmp_path / NAME).stat().st_size
    with (
        Journal(tmp_path, resume=True) as journal,
        disk_with(size + 100),
        pytest.raises(HarnessError, match=r"cannot be written: .*; what was finished .*--resume"),
    ):
        journal.add(task("b"), made_up.entry("b"))
    assert resumed(tmp_path) == {"a"}
    assert (tmp_path / NAME).stat().st_size == size


def test_place_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="--state"):
        Journal(tmp_path / "file" / "state", resume=False)


def test_changed_spec_or_code_is_another_task(tmp_path: Path) -> None:
    code = tmp_path / "h.py"
    code.write_text("a = 1\n")
    before = fingerprint(task(handler_path=str(code)))
    assert fingerprint(task(handler_path=str(code))) == before
    assert fingerprint(task(handler_path=str(code), timeout_seconds=9)) != before
    code.write_text("a = 22\n")
    assert fingerprint(task(handler_path=str(code))) != before


def test_state_is_not_for_version_control(tmp_path: Path) -> None:
    written(tmp_path / "state", "a")
    assert (tmp_path / "state" / ".gitignore").read_text() == "*\n"


def test_history_learns_and_is_replaced_whole(tmp_path: Path) -> None:
    history = History.load(tmp_path)
    history.learn(made_up.entry("good"))
    history.learn(made_up.entry("bad", "crashed"))
    history.save(tmp_path)
    again = History.load(tmp_path)
    assert again == history
    assert again.failed() == {"bad"}
    assert again.handlers["good"].memory_bytes == 11 * 2**20
    assert os.listdir(tmp_path) == ["history.json"]


def test_history_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text("{broken")
    assert History.load(tmp_path) == History() == History.load(None)
