"""The run directory goes away, whatever a handler left in it, and takes nothing else along."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.artifacts import workspace
from harness.artifacts.workspace import RunDirectory
from harness.errors import HarnessError, LeftoverError


@contextmanager
def without_root_powers() -> Iterator[None]:
    """Drop the effective capabilities of this thread, so that file modes hold for root too."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    kept = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, kept) == 0
    dropped = (ctypes.c_uint32 * 6)(0, kept[1], kept[2], 0, kept[4], kept[5])
    assert libc.capset(header, dropped) == 0
    try:
        yield
    finally:
        assert libc.capset(header, kept) == 0


def deep_chain(root: Path, levels: int) -> None:
    """Make directories deeper than PATH_MAX and the recursion limit, with a file in each."""
    directory = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 100, dir_fd=directory)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=directory)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(directory)
        directory = inner
    os.close(directory)


def test_directory_is_private_named_after_the_process_and_goes_away(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "work" / "space") as run:
        path = run.path
        assert path.parent == tmp_path / "work" / "space"
        assert path.name.startswith(f"handlerproof-{os.getpid()}-")
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (run.make("model") / "weights").write_text("w")
    assert not path.exists()
    assert (tmp_path / "work" / "space").is_dir()


def test_default_parent_is_the_temporary_directory() -> None:
    with RunDirectory() as run:
        assert run.path.parent == Path(tempfile.gettempdir()).resolve()


def test_make_gives_each_caller_a_fresh_directory(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        made = [run.make("payload").name for _ in range(3)]
        assert made == ["payload", "payload-2", "payload-3"]
        for name in ("", ".", "..", "../x", "a/b", "a\0b"):
            with pytest.raises(ValueError, match="is no name for one directory"):
                run.make(name)


def test_path_is_refused_outside_the_with_block(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(HarnessError, match="only inside its with block"):
        _ = run.path
    with run:
        pass
    with pytest.raises(HarnessError, match="only inside its with block"):
        _ = run.path


def test_parent_that_cannot_hold_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(HarnessError, match=r"no run directory can be made in .*file/x: Not a dir"),
        RunDirectory(tmp_path / "file" / "x"),
    ):
        pass


def test_tree_deeper_than_any_path_and_recursion_goes_away(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        deep_chain(run.path, sys.getrecursionlimit() + 200)
    assert list(tmp_path.iterdir()) == []


def test_100_000_entries_go_away(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        (run.path / "original").touch()
        directory = os.open(run.make("many"), os.O_RDONLY)
        for number in range(100_000):  # hard links: quicker to make than files
            if number % 50_000 == 0:  # ext4 allows 65,000 links of one file
                os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
                first = f"f{number}"
            else:
                os.link(first, f"f{number}", src_dir_fd=directory, dst_dir_fd=directory)
        os.close(directory)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_modes_that_forbid_everything_do_not_hold_it_up(tmp_path: Path) -> None:
    with without_root_powers():
        with RunDirectory(tmp_path) as run:
            for name in ("closed", "blind", "frozen"):
                (run.path / name / "inner" / "inmost").mkdir(parents=True)
                (run.path / name / "inner" / "file").write_text("x")
                os.chmod(run.path / name / "inner" / "file", 0o000)
            os.chmod(run.path / "frozen" / "inner", 0o500)
            os.chmod(run.path / "blind" / "inner", 0o300)
            os.chmod(run.path / "closed" / "inner", 0o000)
            for name, mode in (("closed", 0o000), ("blind", 0o100), ("frozen", 0o555)):
                os.chmod(run.path / name, mode)
            os.chmod(run.path, 0o000)
            with pytest.raises(PermissionError):
                os.listdir(run.path)
        assert list(tmp_path.iterdir()) == []


def test_symlinks_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    os.chmod(outside, 0o755)
    with RunDirectory(tmp_path / "work") as run:
        (run.path / "to-directory").symlink_to(outside)
        (run.path / "to-file").symlink_to(outside / "kept")
        (run.path / "dangling").symlink_to("/nowhere/at/all")
        inner = run.make("inner")
        (inner / "up").symlink_to("../..")
        (inner / "loop").symlink_to("loop")
    assert list((tmp_path / "work").iterdir()) == []
    assert (outside / "kept").read_text() == "kept"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_names_that_are_not_utf8_and_kinds_that_are_no_files_go_away(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        root = os.fsencode(run.path)
        os.mkdir(root + b"/caf\xe9")
        for name in (b"\xff\xfe", b"caf\xe9/new\nline", b"caf\xe9/ "):
            with open(root + b"/" + name, "wb") as file:
                file.write(b"x")
        os.mkfifo(root + b"/caf\xe9/pipe")
    assert list(tmp_path.iterdir()) == []


def test_directory_that_the_handler_removed_is_no_fault(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        os.rmdir(run.path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replacement", ["directory", "symlink"])
def test_what_took_its_place_is_left_alone(tmp_path: Path, replacement: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("kept")
    run = RunDirectory(tmp_path / "work")
    run.__enter__()
    os.rename(run.path, tmp_path / "moved")
    if replacement == "directory":
        os.rename(precious, run.path)
        kept = run.path / "kept"
    else:
        run.path.symlink_to(precious)
        kept = precious / "kept"
    with pytest.raises(HarnessError, match=r"is left alone|cannot be removed"):
        run.__exit__(None, None, None)
    assert kept.read_text() == "kept"


def test_what_resists_is_named_and_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def resisting(name: str, *, dir_fd: int) -> None:
        if name == "immutable":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    (tmp_path / "top/a/b").mkdir(parents=True)
    (tmp_path / "top/a/b/immutable").write_text("x")
    (tmp_path / "top/a/b/ordinary").write_text("x")
    (tmp_path / "top/c").mkdir()
    monkeypatch.setattr(os, "unlink", resisting)
    with pytest.raises(HarnessError, match=r"top cannot be removed: 'a/b/immutable' resists \(Op"):
        workspace.remove(tmp_path / "top")
    left = [path.name for path in (tmp_path / "top").rglob("*") if path.is_file()]
    assert left == ["immutable"]


def test_fault_of_the_block_is_not_hidden_by_the_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path, *, identity: tuple[int, int]) -> None:
        raise LeftoverError(f"{path} cannot be removed")

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "remove", failing)
        with pytest.raises(KeyboardInterrupt) as raised, RunDirectory(tmp_path):
            raise KeyboardInterrupt
    assert raised.value.__notes__[0].endswith("cannot be removed")


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
def test_mount_inside_is_not_emptied(tmp_path: Path) -> None:
    """A bind mount of the same file system, which st_dev does not tell from a plain directory."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (top / "mounted").mkdir(parents=True)
    child = os.fork()
    if child == 0:
        os._exit(_remove_with_mount(outside, top))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 77:
        pytest.skip("this machine lets us make no mount namespace")
    assert code == 0
    assert (outside / "kept").read_text() == "kept"


def _remove_with_mount(outside: Path, top: Path) -> int:
    libc = ctypes.CDLL(None)
    clone_newns, ms_bind, ms_rec, ms_private = 0x20000, 0x1000, 0x4000, 1 << 18
    if libc.unshare(clone_newns) or libc.mount(None, b"/", None, ms_rec | ms_private, None):
        return 77
    if libc.mount(os.fsencode(outside), os.fsencode(top / "mounted"), None, ms_bind, None):
        return 77
    try:
        workspace.remove(top)
    except HarnessError as error:
        return 0 if "'mounted' resists" in str(error) else 1
    return 2
