"""Archives are unpacked alike by zlib and by the extra `fast`."""

from __future__ import annotations

import zlib

import pytest

from harness.artifacts import compression


@pytest.fixture(params=["zlib", "isal"])
def deflate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Unpack gzip by one library, then by the other."""
    name: str = request.param
    module = zlib if name == "zlib" else pytest.importorskip("isal.isal_zlib")
    monkeypatch.setattr(compression, "_deflate", module)
    return name
