from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import media_types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "text/csv"),
        ("a.json", "application/json"),
        ("a.jsonl", "application/jsonlines"),
        ("a.ndjson", "application/jsonlines"),
        ("a.npy", "application/x-npy"),
        ("a.npz", "application/x-npz"),
        ("a.parquet", "application/x-parquet"),
        ("a.libsvm", "text/libsvm"),
        ("a.txt", "text/plain"),
        ("a.recordio", "application/x-recordio-protobuf"),
        ("a.pb", "application/x-recordio-protobuf"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.bmp", "image/bmp"),
        ("a.tiff", "image/tiff"),
        ("a.wav", "audio/wav"),
        ("a.mp3", "audio/mpeg"),
        ("a.flac", "audio/flac"),
        ("a.ogg", "audio/ogg"),
        ("a.xml", "application/xml"),
        ("a.bin", "application/octet-stream"),
        ("dir.json/UPPER.CSV", "text/csv"),
        ("two.json.csv", "text/csv"),
    ],
)
def test_an_extension_names_a_media_type(name: str, expected: str) -> None:
    """Acceptance 10, 26, 140, 141."""
    assert media_types.of_extension(name) == expected


@pytest.mark.parametrize(
    "name", ["csv", ".csv", "README.md", "a.", "a.csv.gz", "payload.tar.gz", ""]
)
def test_an_unknown_extension_names_nothing(name: str) -> None:
    assert media_types.of_extension(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("csv_samples", "text/csv"),
        ("json_samples", "application/json"),
        ("jsonl_samples", "application/jsonlines"),
        ("jsonlines_samples", "application/jsonlines"),
        ("parquet_samples", "application/x-parquet"),
        ("npy_samples", "application/x-npy"),
        ("numpy_samples", "application/x-npy"),
        ("libsvm_samples", "text/libsvm"),
        ("text_samples", "text/plain"),
        ("CSV_Samples", "text/csv"),
        ("text_csv_samples", "text/csv"),
        ("application_x-parquet_samples", "application/x-parquet"),
    ],
)
def test_a_samples_directory_names_a_media_type(name: str, expected: str) -> None:
    """Acceptance 140, 141, 260."""
    assert media_types.of_kind(name) == expected


@pytest.mark.parametrize("name", ["csv", "samples", "_samples", "good_samples", "csv_samples_old"])
def test_any_other_directory_names_nothing(name: str) -> None:
    assert media_types.of_kind(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("payload_text_csv_0.csv", "text/csv"),
        ("payload_application_json_0.json", "application/json"),
        ("payload_application_x-parquet_0.parquet", "application/x-parquet"),
        ("payload_image_jpeg_1.jpg", "image/jpeg"),
        ("payload_text_csv_12", "text/csv"),
        ("payload_application_json_0.csv", "application/json"),
        ("payload_application_vnd.my_own_3.bin", "application/vnd.my_own"),
        ("payload_application_ld+json_0.json", "application/ld+json"),
    ],
)
def test_a_flat_payload_name_holds_its_media_type(name: str, expected: str) -> None:
    """Acceptance 260."""
    assert media_types.of_payload_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "payload_text_csv.csv",
        "payload_csv_0.csv",
        "payload_colour_red_0.csv",
        "text_csv_0.csv",
        "my_payload_text_csv_0.csv",
        "payload_text_csv_0.csv.gz",
        "payload_text_csv_0.csv\n",
        "payload_text_csv_٣.csv",
    ],
)
def test_a_name_of_another_form_holds_no_media_type(name: str) -> None:
    assert media_types.of_payload_name(name) is None


@given(
    top=st.sampled_from(["application", "audio", "image", "text", "video"]),
    subtype=st.from_regex(r"[a-z][a-z0-9.+-]{0,20}", fullmatch=True),
    number=st.integers(min_value=0, max_value=10**6),
    extension=st.sampled_from(["", ".csv", ".bin"]),
)
def test_every_media_type_survives_being_written_as_a_payload_name(
    top: str, subtype: str, number: int, extension: str
) -> None:
    name = f"payload_{top}_{subtype}_{number}{extension}"
    assert media_types.of_payload_name(name) == f"{top}/{subtype}"


@given(st.text())
def test_no_name_is_an_error(name: str) -> None:
    answers = [media_types.of_extension(name), media_types.of_kind(name)]
    answers.append(media_types.of_payload_name(name))
    assert all(answer is None or "/" in answer for answer in answers)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "TEXT/CSV",
        "text/csv; charset=utf-8",
        " application/json ;v=1",
        "application/jsonlines",
        "application/xml",
        "application/ld+json",
        "image/svg+xml",
    ],
)
def test_text_is_told_from_the_media_type(content_type: str) -> None:
    assert media_types.is_textual(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["application/x-parquet", "application/x-npy", "image/png", "application/octet-stream", ""],
)
def test_binary_is_told_from_the_media_type(content_type: str) -> None:
    """Acceptance 26, 260."""
    assert not media_types.is_textual(content_type)
