"""Where handlers are found, and what of theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import SpecError
from harness.batch.discovery import find


def tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def found(*places: object) -> dict[str, dict[str, Any]]:
    items = [item.settings.fields() for item in find([str(place) for place in places])]
    return {item["handler_name"]: item for item in items}


def test_directory_of_handlers_of_every_kind(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "churn/code/inference.py",
        "churn/payloads/rows.csv",
        "fraud/model.tar.gz",
        "fraud/payloads/rows.csv",
        "price/model.tar.gz",
        "price/payload.tar.gz",
        "notes/readme.txt",
        ".hidden/code/inference.py",
        "readme.md",
    )
    handlers = found(tmp_path)
    assert set(handlers) == {"churn", "fraud", "price"}
    assert handlers["churn"]["packaged_model_path"] == str(tmp_path / "churn")
    assert handlers["churn"]["payload_samples_path"] == str(tmp_path / "churn/payloads")
    assert handlers["fraud"]["packaged_model_path"] == str(tmp_path / "fraud/model.tar.gz")
    assert handlers["price"]["payload_samples_path"] == str(tmp_path / "price/payload.tar.gz")


def test_one_handlers_directory(tmp_path: Path) -> None:
    tree(tmp_path / "churn", "code/inference.py", "payloads/rows.csv")
    assert set(found(tmp_path / "churn")) == {"churn"}


def test_payloads_beside_serve_a_package(tmp_path: Path) -> None:
    tree(tmp_path, "model/code/inference.py", "payloads/rows.csv")
    assert found(tmp_path / "model")["model"]["payload_samples_path"] == str(tmp_path / "payloads")


def test_archive_by_glob(tmp_path: Path) -> None:
    tree(tmp_path, "a/churn.tar.gz", "b/fraud.tar.gz", "b/payloads/x.csv")
    handlers = found(f"{tmp_path}/*/*.tar.gz")
    assert list(handlers) == ["churn", "fraud"]
    assert "payload_samples_path" not in handlers["churn"]


def test_handlers_file_finds_what_lies_beside_it(tmp_path: Path) -> None:
    tree(tmp_path, "churn/code/inference.py", "churn/payloads/rows.csv")
    (tmp_path / "churn/churn-v2.handler.toml").write_text("timeout_seconds = 5.0\n")
    handler = found(tmp_path)["churn-v2"]
    assert handler["packaged_model_path"] == str(tmp_path / "churn")
    assert handler["payload_samples_path"] == str(tmp_path / "churn/payloads")
    assert handler["timeout_seconds"] == 5.0


def test_handlers_file_that_names_its_code(tmp_path: Path) -> None:
    (tmp_path / "a.handler.toml").write_text('handler_path = "src/h.py"\nhandler_name = "b"\n')
    assert found(tmp_path) == {
        "b": {"handler_path": str(tmp_path / "src/h.py"), "handler_name": "b"}
    }


def test_manifest_has_paths_and_specs(tmp_path: Path) -> None:
    tree(tmp_path, "handlers/churn/code/inference.py")
    own = {"handler_name": "fraud", "handler_path": "fraud.py"}
    (tmp_path / "all.json").write_text(json.dumps({"handlers": ["handlers", own]}))
    handlers = found(tmp_path / "all.json")
    assert list(handlers) == ["churn", "fraud"]
    assert handlers["fraud"]["handler_path"] == str(tmp_path / "fraud.py")


def test_spec_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"handler_name": "a", "handler_path": "a.py"}')
    (tmp_path / "b.toml").write_text('handler_name = "b"\nhandler_path = "b.py"\n')
    assert set(found(tmp_path / "a.json", tmp_path / "b.toml")) == {"a", "b"}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none", "there is no file or directory"),
        ("none/*.toml", "nothing is there that matches"),
        ("empty", "no handler is in .*each needs a sub-directory with code/"),
        ("notes.txt", "is no handler; name a directory"),
        ("bad.toml", "is not TOML"),
        ("odd.json", "a manifest has handlers and nothing else, not 'name'"),
        ("list.json", "handlers must be a list"),
        ("number.json", "handler 1 must be a path or a spec, got 3"),
        ("typo.toml", "unknown name 'timeout_second', did you mean 'timeout_seconds'"),
    ],
)
def test_place_that_gives_nothing_is_a_clear_error(
    tmp_path: Path, place: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "bad.toml").write_text("= 3")
    (tmp_path / "odd.json").write_text('{"handlers": [], "name": "x"}')
    (tmp_path / "list.json").write_text('{"handlers": {}}')
    (tmp_path / "number.json").write_text('{"handlers": [3]}')
    (tmp_path / "typo.toml").write_text("timeout_second = 3\n")
    with pytest.raises(SpecError, match=message):
        found(tmp_path / place)
