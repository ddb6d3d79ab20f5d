"""Payload samples of every layout (decision 13), byte for byte and in a natural order."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.artifacts import payloads as subject
from harness.artifacts.payloads import load
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError, PayloadError

Files = Mapping[str, str | bytes]
Make = Callable[[Files], Path]

CSV, JSON, PARQUET = "text/csv", "application/json", "application/x-parquet"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "runs") as directory:
        yield directory


def types(path: Path, run: RunDirectory) -> dict[str, str]:
    return {sample.sample_name: sample.content_type for sample in load(path, run).samples}


def pack(directory: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(directory, ".")
    return archive


LAYOUTS: dict[str, tuple[Files, dict[str, str]]] = {
    "sub-directories": (
        {"csv_samples/a.csv": "1", "json_samples/b.json": "{}", "parquet_samples/c.parquet": "P"},
        {"a": CSV, "b": JSON, "c": PARQUET},
    ),
    "sub-directories, odd extensions": (
        {"csv_samples/a.txt": "1", "json_samples/b": "{}", "text_samples/c.dat": "x"},
        {"a": CSV, "b": JSON, "c": "text/plain"},
    ),
    "sub-directories, deeper": (
        {"payload/csv_samples/2024/a.txt": "1", "csv_samples/json_samples/b.txt": "{}"},
        {"a": CSV, "b": JSON},
    ),
    "flat names": (
        {"payload_text_csv_0.csv": "1", "payload_application_json_0.json": "{}"},
        {"payload_text_csv_0": CSV, "payload_application_json_0": JSON},
    ),
    "flat name wins over extension": (
        {"payload_text_csv_0.txt": "1", "payload_application_x-parquet_1": "P"},
        {"payload_text_csv_0": CSV, "payload_application_x-parquet_1": PARQUET},
    ),
    "directory wins over name": (
        {"csv_samples/payload_application_json_0.json": "1"},
        {"payload_application_json_0": CSV},
    ),
    "extensions": (
        {"a.csv": "1", "b.JSON": "{}", "c.npy": "N", "d.jsonl": "{}", "e.png": "P"},
        {
            "a": CSV,
            "b": JSON,
            "c": "application/x-npy",
            "d": "application/jsonlines",
            "e": "image/png",
        },
    ),
    "manifest": (
        {
            "manifest.json": json.dumps(
                {"csv_samples/a.csv": {"content_type": "text/csv; header=absent"}}
                | {"b.dat": {"content_type": "application/x-image"}}
            ),
            "csv_samples/a.csv": "1",
            "csv_samples/manifest.json": "{}",
            "b.dat": "x",
        },
        {"a": "text/csv; header=absent", "b": "application/x-image", "manifest": CSV},
    ),
    "manifest of expectations": (
        {"samples.toml": '["a.csv"]\nshould_succeed = "either"\n', "a.csv": "1"},
        {"a": "text/csv"},
    ),
    "manifest in TOML": (
        {"manifest.toml": '["./a.csv"]\ncontent_type = "text/libsvm"\n', "a.csv": "1"},
        {"a": "text/libsvm"},
    ),
    "nothing": ({}, {}),
    "hidden": (
        {
            ".a.csv": "1",
            "._b.csv": "1",
            ".ipynb_checkpoints/c.csv": "1",
            "csv_samples/.DS_Store": "1",
            "__MACOSX/d.csv": "1",
            "csv_samples/__pycache__/e.csv": "1",
            "f.csv": "1",
        },
        {"f": CSV},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_in_a_directory(payloads: Make, run: RunDirectory, layout: str) -> None:
    files, expected = LAYOUTS[layout]
    path = payloads(files)
    assert types(path, run) == expected
    assert load(path, run).ignored == ()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "nothing"])
def test_layout_in_an_archive(
    tmp_path: Path, payloads: Make, run: RunDirectory, layout: str
) -> None:
    files, expected = LAYOUTS[layout]
    archive = pack(payloads(files), tmp_path / "any-name.tgz")
    loaded = load(archive, run)
    assert {sample.sample_name: sample.content_type for sample in loaded.samples} == expected
    assert all(sample.file_path.is_relative_to(run.path) for sample in loaded.samples)


def test_archive_inside_a_directory_is_unpacked_beside_its_files(
    tmp_path: Path, payloads: Make, run: RunDirectory
) -> None:
    inner = payloads({"csv_samples/a.csv": "inner", "c.json": "{}", "payload.tar.gz": "not again"})
    outer = payloads({"a.csv": "outer"})
    pack(inner, outer / "payload.tar.gz")
    loaded = load(outer, run)
    assert [(sample.sample_name, sample.body) for sample in loaded.samples] == [
        ("a", b"outer"),
        ("c", b"{}"),
        ("payload.tar.gz/csv_samples/a", b"inner"),
    ]
    assert loaded.ignored == (
        "payload.tar.gz/payload.tar.gz: its content type is not known; name it in samples.toml",
    )


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.csv", CSV),
        ("payload_application_json_0.txt", JSON),
        ("parquet_samples/part-0", PARQUET),
    ],
)
def test_single_file(payloads: Make, run: RunDirectory, name: str, content_type: str) -> None:
    (sample,) = load(payloads({name: "x"}) / name, run).samples
    assert (sample.content_type, sample.body) == (content_type, b"x")


def test_directory_that_is_itself_of_a_kind(payloads: Make, run: RunDirectory) -> None:
    path = payloads({"csv_samples/a.txt": "1"}) / "csv_samples"
    assert types(path, run) == {"a": CSV}


def test_body_is_untouched(payloads: Make, run: RunDirectory) -> None:
    bodies: Files = {
        "bom.csv": b"\xef\xbb\xbf1,2\r\n3,4\r\n\r\n",
        "latin.csv": b"caf\xe9\n",
        "nul.bin": bytes(range(256)),
        "empty.json": b"",
        "spaces.json": b"  {} \n\n",
    }
    path = payloads(bodies)
    loaded = load(path, run)
    assert {sample.file_path.name: sample.body for sample in loaded.samples} == bodies
    assert all(sample.file_path.parent == path for sample in loaded.samples)


def test_order_is_natural(payloads: Make, run: RunDirectory) -> None:
    order = [
        "10.csv",
        "b/s3.csv",
        "b9/t.csv",
        "b10/s.csv",
        "s01.csv",
        "s1.csv",
        "s2.csv",
        "s10.csv",
    ]
    path = payloads(dict.fromkeys(sorted(order, reverse=True), "x"))
    loaded = load(path, run)
    assert [str(sample.file_path.relative_to(path)) for sample in loaded.samples] == order


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["csv_samples/a.csv", "json_samples/b.json"], ["a", "b"]),
        (["csv_samples/a.csv", "json_samples/a.json"], ["csv_samples/a", "json_samples/a"]),
        (["a.csv", "a.json", "b.csv"], ["a.csv", "a.json", "b"]),
        (
            ["csv_samples/a.csv", "csv_samples/a.txt", "json_samples/a.json"],
            ["csv_samples/a.csv", "csv_samples/a.txt", "json_samples/a"],
        ),
        (["a.csv", "a.json", "a.csv.json"], ["a.csv", "a.csv.json", "a.json"]),
    ],
)
def test_names_are_as_short_as_their_neighbours_allow(
    payloads: Make, run: RunDirectory, files: list[str], names: list[str]
) -> None:
    loaded = load(payloads(dict.fromkeys(files, "x")), run)
    assert sorted(sample.sample_name for sample in loaded.samples) == names


def test_name_that_is_not_utf8_can_be_reported(payloads: Make, run: RunDirectory) -> None:
    path = payloads({"a.csv": "1"})
    (path / os.fsdecode(b"caf\xe9.csv")).write_text("1")
    (path / os.fsdecode(b"caf\xe9.what")).write_text("1")
    loaded = load(path, run)
    assert [sample.sample_name for sample in loaded.samples] == ["a", "caf\\xe9"]
    assert loaded.ignored[0].startswith("caf\\xe9.what: ")


def test_files_of_unknown_type_are_left_out_with_the_reason(
    payloads: Make, run: RunDirectory
) -> None:
    path = payloads({"README.md": "x", "a.csv": "1"})
    os.mkfifo(path / "pipe.csv")
    (path / "d").mkdir()
    (path / "link").symlink_to("d")
    loaded = load(path, run)
    assert [sample.sample_name for sample in loaded.samples] == ["a"]
    assert loaded.ignored == (
        "README.md: its content type is not known; name it in samples.toml",
        "link: is no regular file",
        "pipe.csv: is no regular file",
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"manifest.json": "{"}, r"manifest\.json: is no valid JSON: "),
        ({"manifest.json": b"\xff"}, r"manifest\.json: is no valid JSON: "),
        ({"manifest.json": "[" * 100_000}, r"manifest\.json: is no valid JSON: "),
        ({"manifest.toml": "a ="}, r"manifest\.toml: is no valid TOML: "),
        ({"manifest.json": "[]"}, r"must map file names to \{\"content_type\""),
        ({"manifest.json": '{"a.csv": "text/csv"}'}, r"entry of 'a\.csv' must be like"),
        (
            {"samples.toml": '["a.csv"]\nshould_succeed = 7', "a.csv": "1"},
            r"samples\.toml: the entry of 'a\.csv': .*should_succeed",
        ),
        (
            {"samples.toml": '["a.csv"]\nexpected_stage = ["input_fn"]', "a.csv": "1"},
            r"did you mean 'expected_stages'\?",
        ),
        ({"manifest.json": '{"a.csv": {"content_type": null}}'}, "must be like"),
        ({"manifest.json": '{"a.csv": {"content_type": " "}}'}, "must be like"),
        (
            {"manifest.json": '{"a.csv": {"content-type": "text/csv"}}'},
            r"unknown key 'content-type' in the entry of 'a\.csv', did you mean 'content_type'\?",
        ),
        (
            {"manifest.json": '{"a.cvs": {"content_type": "text/csv"}}', "a.csv": "1"},
            r"the manifest names 'a\.cvs', which is not there, did you mean 'a\.csv'\?; correct",
        ),
        (
            {"manifest.json": '{"../x": {"content_type": "text/csv"}}'},
            r"the manifest names '\.\./x', which is not there; correct or remove",
        ),
        ({"manifest.json": "{}", "manifest.toml": ""}, "has manifest.json and manifest.toml; keep"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(
    payloads: Make, run: RunDirectory, files: Files, message: str
) -> None:
    with pytest.raises(PayloadError, match=message):
        load(payloads(files), run)


@pytest.mark.parametrize("target", ["../secret.csv", "/etc/hostname"])
@pytest.mark.parametrize("name", ["a.csv", "csv_samples", "manifest.json"])
def test_symlink_that_leaves_is_refused(
    tmp_path: Path, payloads: Make, run: RunDirectory, name: str, target: str
) -> None:
    (tmp_path / "secret.csv").write_text("secret")
    path = payloads({"b.csv": "1"})
    (path / name).symlink_to(target)
    with pytest.raises(PayloadError, match=f"{name}: is a symlink that leaves"):
        load(path, run)


def test_symlink_that_stays_is_followed(payloads: Make, run: RunDirectory) -> None:
    path = payloads({"data/a.dat": "body"})
    (path / "csv_samples").mkdir()
    (path / "csv_samples" / "a").symlink_to("../data/a.dat")
    (sample,) = load(path, run).samples
    assert (sample.content_type, sample.body) == (CSV, b"body")


def test_body_over_two_gib_is_refused_unread(payloads: Make, run: RunDirectory) -> None:
    path = payloads({"a.csv": ""})
    os.truncate(path / "a.csv", (2 << 30) + 1)
    with pytest.raises(PayloadError, match=r"a\.csv: 2147483649 bytes are more than .*; cut it"):
        load(path, run)


def test_too_many_files_are_refused(
    payloads: Make, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_MAX_FILES", 2)
    with pytest.raises(PayloadError, match="more than 2 files"):
        load(payloads({"a.csv": "", "b.csv": "", "c.csv": ""}), run)


def test_missing_path_is_refused(tmp_path: Path, run: RunDirectory) -> None:
    with pytest.raises(PayloadError, match="none: No such file or directory; correct the path"):
        load(tmp_path / "none", run)


def test_file_that_cannot_be_read_is_refused(
    payloads: Make, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = payloads({"a.csv": "1"})
    real = os.open

    def denied(name: Path | str, *arguments: int, **options: int) -> int:
        if str(name).endswith("a.csv"):
            raise PermissionError(13, "Permission denied")
        return real(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        with pytest.raises(PayloadError, match=r"a\.csv: cannot be read: Permission denied; check"):
            load(path, run)


def test_hostile_archive_is_a_fault_of_the_payload(tmp_path: Path, run: RunDirectory) -> None:
    (tmp_path / "payload.tar.gz").write_bytes(b"no archive")
    for path in (tmp_path / "payload.tar.gz", tmp_path):
        with pytest.raises(PayloadError, match=r"payload\.tar\.gz: holds no tar") as raised:
            load(path, run)
        assert not isinstance(raised.value, PackageError)


def test_a_loop_of_links_is_a_payload_error(tmp_path: Path) -> None:
    folder = tmp_path / "payloads"
    folder.mkdir()
    (folder / "a.csv").symlink_to("b.csv")
    (folder / "b.csv").symlink_to("a.csv")
    with RunDirectory(tmp_path) as run, pytest.raises(PayloadError, match="loop"):
        load(folder, run)
