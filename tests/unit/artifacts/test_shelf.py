"""Archives are unpacked once for each content, and nobody sees what another run did to its copy."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.artifacts import archive, shelf, tree
from harness.artifacts.shelf import SETTLED_NS, Shelf
from harness.artifacts.workspace import RunDirectory
from harness.errors import PackageError
from tests.unit.artifacts.tars import END, file, folder, hard_link, symlink, tar_of

WEIGHTS = bytes(range(256)) * 500


@pytest.fixture(autouse=True)
def unpackings(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """Count how often each archive is really unpacked."""
    counts: Counter[Path] = Counter()
    real = archive.unpack

    def unpack(source: Path, into: Path, **options: Any) -> archive.Unpacked:
        counts[source] += 1
        return real(source, into, **options)

    monkeypatch.setattr(archive, "unpack", unpack)
    return counts


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "workspace") as made:
        yield made


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf(tmp_path / "workspace") as made:
        yield made


def package(path: Path, code: bytes = b"def model_fn(model_dir): ...\n") -> Path:
    """Make an archive that was last changed some time ago, as archives are."""
    members = [
        folder("code"),
        file("code/inference.py", code),
        file("weights.bin", WEIGHTS),
        hard_link("same.bin", "weights.bin"),
        symlink("latest", "weights.bin"),
    ]
    path.write_bytes(gzip.compress(tar_of(*members) + END))
    return path


def lend(kept: Shelf, source: Path, run: RunDirectory, *, in_place: bool = False) -> Path:
    with kept.lending(in_place=in_place) as unpack:
        return unpack(source, run)


def looks(root: Path) -> dict[str, Any]:
    """Say of each entry what a handler can see of it, but for what must differ."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        times = status.st_mtime_ns if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(root))] = (status.st_mode, status.st_nlink, times, what)
    return found


def test_copy_is_what_unpacking_gives(
    kept: Shelf, run: RunDirectory, tmp_path: Path, unpackings: Counter[Path]
) -> None:
    source = package(tmp_path / "model.tar.gz")
    copies = [lend(kept, source, run) for _ in range(3)]
    assert unpackings[source] == 1
    plain = shelf.unpacked(source, run)
    assert all(looks(copy) == looks(plain) for copy in copies)
    assert [copy.name for copy in copies] == ["model", "model-2", "model-3"]


def test_what_one_run_writes_no_other_sees(kept: Shelf, run: RunDirectory, tmp_path: Path) -> None:
    source = package(tmp_path / "model.tar.gz")
    first = lend(kept, source, run)
    before = looks(first)
    (first / "weights.bin").write_bytes(b"mine")
    (first / "code" / "inference.py").unlink()
    (first / "made").touch()
    assert looks(lend(kept, source, run)) == before


def test_same_content_elsewhere_is_not_unpacked_again(
    kept: Shelf, run: RunDirectory, tmp_path: Path, unpackings: Counter[Path]
) -> None:
    source = package(tmp_path / "model.tar.gz")
    other = Path(shutil.copy(source, tmp_path / "other.tar.gz"))
    assert looks(lend(kept, source, run)) == looks(lend(kept, other, run))
    assert unpackings == {source: 1}


def test_archive_that_changed_is_unpacked_anew(
    kept: Shelf, run: RunDirectory, tmp_path: Path, unpackings: Counter[Path]
) -> None:
    """Of the same size, with its old time given back, as soon as a clock can be fooled."""
    source = tmp_path / "model.tar"
    was = tar_of(file("code/inference.py", b"a = 1\n")) + END
    source.write_bytes(was)
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    lend(kept, source, run)
    source.write_bytes(was.replace(b"a = 1\n", b"a = 2\n"))
    os.utime(source, ns=times)
    assert (lend(kept, source, run) / "code" / "inference.py").read_bytes() == b"a = 2\n"
    assert unpackings[source] == 2


def test_settled_archive_is_not_read_again(
    kept: Shelf, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = package(tmp_path / "model.tar.gz")
    clock = source.stat().st_ctime_ns + SETTLED_NS + 1
    monkeypatch.setattr(shelf.time, "time_ns", lambda: clock)
    lend(kept, source, run)
    monkeypatch.delattr(archive, "sha256")
    lend(kept, source, run)


def test_archive_changed_just_now_is_hashed_again(
    kept: Shelf, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = package(tmp_path / "model.tar.gz")
    clock = source.stat().st_ctime_ns + SETTLED_NS
    monkeypatch.setattr(shelf.time, "time_ns", lambda: clock)
    lend(kept, source, run)
    monkeypatch.delattr(archive, "sha256")
    with pytest.raises(AttributeError, match="sha256"):
        lend(kept, source, run)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda root: (root / "weights.bin").write_bytes(WEIGHTS),
        lambda root: (root / "weights.bin").chmod(0o600),
        lambda root: os.utime(root / "weights.bin", (0, 0)),
        lambda root: (root / "code" / "more.py").touch(),
        lambda root: (root / "latest").unlink(),
        lambda root: shutil.rmtree(root),
    ],
    ids=["same bytes", "rights", "times", "one more", "one less", "gone"],
)
def test_tree_that_somebody_was_at_is_thrown_away(
    kept: Shelf, run: RunDirectory, tmp_path: Path, unpackings: Counter[Path], tamper: Any
) -> None:
    source = package(tmp_path / "model.tar.gz")
    lent = lend(kept, source, run, in_place=True)
    tamper(lent)
    copy = lend(kept, source, run)
    assert unpackings[source] == 2
    assert looks(copy) == looks(shelf.unpacked(source, run))
    assert len(list(lent.parent.iterdir())) == 1


def test_readers_share_one_tree_as_long_as_they_read(
    kept: Shelf, run: RunDirectory, tmp_path: Path
) -> None:
    source = package(tmp_path / "model.tar.gz")
    with kept.lending(in_place=True) as one, kept.lending(in_place=True) as other:
        lent = one(source, run)
        assert other(source, run) == lent
        (lent / "somebody").touch()
        assert lend(kept, source, run) != lent
        assert (lent / "weights.bin").read_bytes() == WEIGHTS, "taken away while it was in use"
    assert not lent.exists()


def test_least_lately_used_makes_room_but_never_what_is_in_use(
    run: RunDirectory, tmp_path: Path, unpackings: Counter[Path]
) -> None:
    sources = [package(tmp_path / f"{n}.tar.gz", b"# %d\n" % n) for n in range(3)]
    with Shelf(tmp_path / "workspace", max_bytes=2 * len(WEIGHTS) + 100) as kept:
        with kept.lending(in_place=True) as unpack:
            unpack(sources[0], run)
            lend(kept, sources[1], run)
            lend(kept, sources[2], run)
            lend(kept, sources[0], run)
            assert [unpackings[source] for source in sources] == [1, 1, 1]
        lend(kept, sources[1], run)
        lend(kept, sources[0], run)
        assert [unpackings[source] for source in sources] == [1, 2, 1]


def test_shelves_of_several_share_one_bound(run: RunDirectory, tmp_path: Path) -> None:
    sources = [package(tmp_path / f"{n}.tar.gz", b"# %d\n" % n) for n in range(3)]
    place = tmp_path / "workspace"
    with (
        Shelf(place, max_bytes=2 * len(WEIGHTS) + 200, sharers=2) as one,
        Shelf(place, max_bytes=2 * len(WEIGHTS) + 200, sharers=2) as other,
    ):
        for kept in (one, other):
            for source in sources:
                with kept.lending(in_place=True) as unpack:
                    unpack(source, run)
        left = [path.parent for path in place.glob("*/*/weights.bin")]
        assert len(left) == 2, "one on each, of the two that one alone would keep"
        assert len({path.parent for path in left}) == 2


def test_package_too_large_to_keep_goes_to_its_run(
    run: RunDirectory, tmp_path: Path, unpackings: Counter[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = package(tmp_path / "model.tar.gz")
    monkeypatch.delattr(tree, "duplicate")
    with Shelf(tmp_path / "workspace", max_bytes=len(WEIGHTS)) as kept:
        first, second = lend(kept, source, run), lend(kept, source, run)
        with kept.lending(in_place=True) as unpack:
            lent = unpack(source, run)
            assert looks(lent) == looks(first) == looks(second)
        assert not lent.exists()
    assert unpackings[source] == 3


def test_without_room_for_two_there_is_one(
    kept: Shelf, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def duplicate(source: Path, into: Path) -> None:
        (into / "some").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    source = package(tmp_path / "model.tar.gz")
    monkeypatch.setattr(tree, "duplicate", duplicate)
    copy = lend(kept, source, run)
    assert looks(copy) == looks(shelf.unpacked(source, run))
    assert [path.name for path in (tmp_path / "workspace").glob("*/*")] == ["model", "model-2"]


def test_threads_wait_for_the_one_that_unpacks(
    kept: Shelf, run: RunDirectory, tmp_path: Path, unpackings: Counter[Path]
) -> None:
    source = package(tmp_path / "model.tar.gz")
    with ThreadPoolExecutor(8) as pool:
        copies = list(pool.map(lambda _: lend(kept, source, run), range(16)))
    assert unpackings[source] == 1
    assert len({str(copy) for copy in copies}) == 16
    assert len({str(looks(copy)) for copy in copies}) == 1


def test_refused_archive_is_refused_each_time(
    kept: Shelf, run: RunDirectory, tmp_path: Path
) -> None:
    source = tmp_path / "model.tar"
    source.write_bytes(tar_of(file("../outside", b"x")) + END)
    for _ in range(2):
        with pytest.raises(PackageError, match="outside"):
            lend(kept, source, run)


def test_nothing_is_kept_after_the_block(run: RunDirectory, tmp_path: Path) -> None:
    with Shelf(tmp_path / "workspace") as kept:
        lent = lend(kept, package(tmp_path / "model.tar.gz"), run, in_place=True)
    assert list((tmp_path / "workspace").iterdir()) == [run.path]
    assert not lent.parent.exists()


def test_directory_is_copied_each_time(kept: Shelf, run: RunDirectory, tmp_path: Path) -> None:
    source = tmp_path / "package"
    source.mkdir()
    (source / "a").touch()
    assert lend(kept, source, run, in_place=True).parent == run.path
    (source / "b").touch()
    assert sorted(looks(lend(kept, source, run, in_place=True))) == ["a", "b"]
