"""What a handler answered, as files for the next node."""

import base64
import mimetypes
import re
from pathlib import Path

from harness.pipelines.wiring import RESPONSE
from harness.results import EndToEndTestResult, InferenceTestResult

EXTENSIONS = {"application/jsonlines": ".jsonl", "application/x-npy": ".npy", "text/csv": ".csv"}


def write(result: InferenceTestResult, folder: Path) -> tuple[dict[str, Path], dict[Path, str]]:
    """Write what a handler answered as files: (its one output, the files' content types)."""
    place, typed = folder / "responses", {}
    place.mkdir(parents=True)
    for number, row in enumerate(result.end_to_end_results):
        body = _body(row)
        if body is None:
            continue
        content_type = row.response.content_type or "application/octet-stream"
        essence = content_type.partition(";")[0].strip()
        extension = EXTENSIONS.get(essence) or mimetypes.guess_extension(essence) or ".bin"
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", row.sample_name)[:80]
        file = place / f"{number:03d}_{stem}{extension}"
        file.write_bytes(body)
        typed[file] = content_type
    return {RESPONSE: place}, typed


def _body(row: EndToEndTestResult) -> bytes | None:
    response = row.response
    if not row.success or response.body is None:
        return None
    if response.body_encoding == "base64":
        return base64.b64decode(response.body)
    return response.body.encode("utf-8")
