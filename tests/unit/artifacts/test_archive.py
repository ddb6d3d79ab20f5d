"""Honest archives and directories: unpacked whole, whatever packed them."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from harness.artifacts.archive import ArchiveLimits, Unpacked, unpack
from harness.errors import HarnessError, PackageError
from tests.unit.artifacts.tars import END, Raw, file, folder, hard_link, symlink, tar_of

pytestmark = pytest.mark.usefixtures("deflate")

CODE = b"def model_fn(model_dir): ...\n"
WEIGHTS = bytes(range(256)) * 9_000

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in parts": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(9_999),
    "bzip2": bz2.compress,
    "bzip2 in parts": lambda data: bz2.compress(data[:1000]) + bz2.compress(data[1000:]),
    "xz": lzma.compress,
    "xz in parts": lambda data: lzma.compress(data[:1000]) + bytes(8) + lzma.compress(data[1000:]),
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("tar_format", FORMATS)
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_archive_of_tarfile_comes_back_whole(
    tmp_path: Path, compressor: str, tar_format: str
) -> None:
    model = tmp_path / "model"
    long_directory = model / ("long" * 20) / ("name" * 15)
    (model / "code").mkdir(parents=True)
    long_directory.mkdir(parents=True)
    (model / "code" / "inference.py").write_bytes(CODE)
    (model / "weights.bin").write_bytes(WEIGHTS)
    (model / "empty").touch()
    (model / "straße 模型.txt").write_text("name")
    (long_directory / "x").write_text("deep")
    (model / "latest").symlink_to("weights.bin")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[tar_format]) as tar:
        tar.add(model, ".")
    source = tmp_path / "named-as-it-likes.zip"
    source.write_bytes(COMPRESSORS[compressor](buffer.getvalue()))

    unpacked = unpack(source, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(model)
    assert unpacked == Unpacked(members=9, total_bytes=len(WEIGHTS) + len(CODE) + 8)
    assert os.stat(tmp_path / "out/weights.bin").st_mtime == pytest.approx(
        os.stat(model / "weights.bin").st_mtime, abs=1
    )


def contents(root: Path) -> dict[str, bytes | str | None]:
    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)
        return path.read_bytes() if path.is_file() else None

    return {str(path.relative_to(root)): content(path) for path in root.rglob("*")}


def test_archive_of_the_tar_command_comes_back_whole(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_bytes(CODE)
    os.link(model / "code" / "inference.py", model / "again.py")
    subprocess.run(["tar", "-czf", "model.tar.gz", "-C", "model", "."], cwd=tmp_path, check=True)
    unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(model)


def test_modes_are_normalised_and_setuid_is_dropped(tmp_path: Path) -> None:
    source = tmp_path / "model.tar"
    source.write_bytes(
        tar_of(
            Raw(b"d", kind=tarfile.DIRTYPE, mode=0o000),
            Raw(b"d/none", b"x", mode=0o000),
            Raw(b"d/setuid", b"x", mode=0o6755),
            Raw(b"d/all", b"x", mode=0o666),
        )
    )
    before = os.umask(0o077)
    try:
        unpack(source, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("out/d/*")}
    assert modes == {"none": 0o644, "setuid": 0o755, "all": 0o644}
    assert (tmp_path / "out/d").stat().st_mode & stat.S_IRWXU == stat.S_IRWXU
    assert (tmp_path / "out/d/all").stat().st_uid == os.getuid()


def test_harmless_oddities_are_accepted(tmp_path: Path) -> None:
    """Directories listed twice, "./" and "//" in names, hard links, links up, one end block."""
    source = tmp_path / "model.tar"
    source.write_bytes(
        tar_of(
            folder("./"),
            folder("code/"),
            folder("./code"),
            file(".//code//inference.py", CODE),
            file("code/._inference.py"),
            hard_link("code/copy.py", "./code/inference.py"),
            symlink("code/weights", "../weights.bin"),
            file("weights.bin", WEIGHTS),
            end=END[:512],
        )
    )
    unpacked = unpack(source, tmp_path / "out")
    assert (tmp_path / "out/code/copy.py").read_bytes() == CODE
    assert (tmp_path / "out/code/weights").read_bytes() == WEIGHTS
    assert unpacked.total_bytes == len(CODE) + len(WEIGHTS) + 1


def test_uniform_data_below_64_mib_is_no_bomb(tmp_path: Path) -> None:
    source = tmp_path / "model.tar.gz"
    source.write_bytes(gzip.compress(tar_of(file("zeros", bytes(20 << 20))), 9))
    assert source.stat().st_size * 200 < 20 << 20
    assert unpack(source, tmp_path / "out").total_bytes == 20 << 20


def test_zstd_comes_back_whole(tmp_path: Path) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "zstandard")
    source = tmp_path / "model.tar.zst"
    data = tar_of(file("weights.bin", WEIGHTS))
    source.write_bytes(zstd.compress(data[:1000]) + zstd.compress(data[1000:]))
    unpack(source, tmp_path / "out")
    assert (tmp_path / "out/weights.bin").read_bytes() == WEIGHTS
    source.write_bytes(zstd.compress(data)[:-9])
    with pytest.raises(PackageError, match="truncated"):
        unpack(source, tmp_path / "out2")
    source.write_bytes(zstd.compress(data) + b"garbage!")
    with pytest.raises(PackageError, match=r"garbage|damaged zstd data"):
        unpack(source, tmp_path / "out2")


def test_zstd_without_a_reader_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    source = tmp_path / "model.tar.zst"
    source.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600))
    with pytest.raises(PackageError, match=r"zstd, which this Python cannot read; install the zst"):
        unpack(source, tmp_path / "out")


def test_missing_source_and_odd_sources_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="none: cannot be opened: No such file"):
        unpack(tmp_path / "none", tmp_path / "out")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageError, match="pipe: is no regular file"):
        unpack(tmp_path / "pipe", tmp_path / "out")


def test_target_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    source = tmp_path / "model.tar"
    source.write_bytes(tar_of(file("a")))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ValueError, match="is not empty"):
        unpack(source, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def test_full_disk_is_no_fault_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *, executable: bool) -> io.BufferedWriter:
        raise OSError(28, "No space left on device")

    source = tmp_path / "model.tar"
    source.write_bytes(tar_of(folder("code"), file("a")))
    monkeypatch.setattr("harness.artifacts.tree.new_file", full)
    with pytest.raises(HarnessError, match="No space left on device; free some space") as raised:
        unpack(source, tmp_path / "out")
    assert not isinstance(raised.value, PackageError)
    assert not (tmp_path / "out").exists()


class TestDirectory:
    """A directory in place of an archive."""

    def test_is_copied_with_its_inner_links(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        (model / "v2").mkdir(parents=True)
        (model / "v2" / "weights.bin").write_bytes(WEIGHTS)
        (model / "v2" / "run.sh").write_bytes(b"#!")
        os.chmod(model / "v2" / "run.sh", 0o4700)
        (model / "code").symlink_to("v2")
        (model / "v2" / "again").symlink_to("../v2/weights.bin")
        unpacked = unpack(model, tmp_path / "out")
        assert contents(tmp_path / "out") == contents(model)
        assert stat.S_IMODE((tmp_path / "out/v2/run.sh").stat().st_mode) == 0o755
        assert unpacked == Unpacked(members=5, total_bytes=len(WEIGHTS) + 2)
        (tmp_path / "out/v2/weights.bin").write_bytes(b"changed by the handler")
        assert (model / "v2/weights.bin").read_bytes() == WEIGHTS

    @pytest.mark.parametrize(
        ("target", "place"),
        [
            ("/etc", "l"),
            ("../secret", "l"),
            ("../model/weights", "l"),
            ("d/../..", "l"),
            ("../../secret", "d/l"),
        ],
    )
    def test_link_that_leaves_is_refused(self, tmp_path: Path, target: str, place: str) -> None:
        model = tmp_path / "model"
        (model / "d").mkdir(parents=True)
        (model / "weights").write_text("w")
        (tmp_path / "secret").write_text("s")
        (model / place).symlink_to(target)
        with pytest.raises(PackageError, match=f"model: '{place}' is a symlink to .* which leaves"):
            unpack(model, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_link_that_leaves_through_another_is_refused(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        (model / "a/b").mkdir(parents=True)
        (model / "a/b/up").symlink_to("../..")
        (model / "a/b/out").symlink_to("up/../secret")
        (tmp_path / "secret").write_text("s")
        with pytest.raises(PackageError, match="'a/b/out' is a symlink"):
            unpack(model, tmp_path / "out")

    def test_socket_and_fifo_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        os.mkfifo(tmp_path / "model" / "pipe")
        with pytest.raises(PackageError, match="'pipe' is a socket, device or fifo"):
            unpack(tmp_path / "model", tmp_path / "out")
        os.unlink(tmp_path / "model" / "pipe")
        here = os.open(tmp_path / "model", os.O_RDONLY)
        try:  # a socket's address is at most 108 bytes long
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"/proc/self/fd/{here}/s")
        finally:
            os.close(here)
        with pytest.raises(PackageError, match="'s' is a socket, device or fifo"):
            unpack(tmp_path / "model", tmp_path / "out")

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            (ArchiveLimits(max_members=2), "more than 2 files and directories; remove what"),
            (ArchiveLimits(max_bytes=5), "more than 5 bytes; remove what"),
            (ArchiveLimits(max_depth=1), "'d/x' lies deeper than 1 levels"),
        ],
    )
    def test_limits_hold(self, tmp_path: Path, limits: ArchiveLimits, message: str) -> None:
        (tmp_path / "model/d").mkdir(parents=True)
        (tmp_path / "model/d/x").write_text("abc")
        (tmp_path / "model/y").write_text("abc")
        with pytest.raises(PackageError, match=message):
            unpack(tmp_path / "model", tmp_path / "out", limits=limits)

    def test_workspace_inside_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "model/work/run/other").mkdir(parents=True)
        (tmp_path / "model/weights").write_text("w")
        unpack(tmp_path / "model", tmp_path / "model/work/run/model")
        copied = {str(place) for place in contents(tmp_path / "model/work/run/model")}
        assert copied == {"weights", "work"}
