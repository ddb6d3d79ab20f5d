"""Requirements files: names, includes, and a digest of all that decides the outcome."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import InferenceHandlerSpec
from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.environments import archives, base_sets, requirements
from harness.errors import HandlerEnvironmentError
from tests import wheels
from tests.conftest import MakePackage


def written(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("numpy\nScikit_Learn>=1.0  # why\n", {"numpy", "scikit-learn"}),
        ("# only a comment\n\n", set()),
        ("pandas[performance]==2.* ; python_version >= '3.9'\n", {"pandas"}),
        ("torch \\\n  == 2.0 \\\n  --hash=sha256:00\n", {"torch"}),
        ("--index-url https://index.example/simple\nsix\n", {"six"}),
        ("pkg @ https://files.example/pkg-1.0-py3-none-any.whl\n", {"pkg"}),
        ("git+https://git.example/x.git#egg=My.Thing\n", {"my-thing"}),
        ("./wheels/some_thing-1.0-py3-none-any.whl\n", {"some-thing"}),
        ("-e .\n", set()),
        ("\ufeffsix\n", {"six"}),
    ],
)
def test_names_of_distributions(text: str, names: set[str], tmp_path: Path) -> None:
    assert requirements.of_file(written(tmp_path, text)).names == names


def test_included_names_count_and_constraints_do_not(tmp_path: Path) -> None:
    written(tmp_path, "six\n-r requirements.txt\n", "more.txt")  # a circle is no fault
    written(tmp_path, "numpy<2\n", "pins.txt")
    asked = requirements.of_file(written(tmp_path, "-r more.txt\n-c pins.txt\n"))
    assert asked.names == {"six"}


def test_digest_is_of_contents_and_not_of_the_place(tmp_path: Path) -> None:
    digests = []
    for place, pin in (("a", "1.0"), ("b", "1.0"), ("c", "2.0")):
        folder = tmp_path / place
        folder.mkdir()
        wheels.make(folder, "small", pin).rename(folder / "small-0-py3-none-any.whl")
        text = "-r more.txt\n./small-0-py3-none-any.whl\n"
        written(folder, "six  # a comment\n", "more.txt")
        digests.append(requirements.of_file(written(folder, text)).digest)
    assert digests[0] == digests[1] != digests[2]


def test_variable_in_a_file_is_part_of_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "--index-url https://${WHERE}/simple\nsix\n")
    monkeypatch.setenv("WHERE", "one.example")
    one = requirements.of_file(path).digest
    monkeypatch.setenv("WHERE", "other.example")
    assert requirements.of_file(path).digest != one


def test_included_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(HandlerEnvironmentError, match=r"none\.txt cannot be read"):
        requirements.of_file(written(tmp_path, "-r none.txt\n"))


def test_what_the_container_has_is_added(tmp_path: Path) -> None:
    written(tmp_path, "numpy==1.26.4\n")
    assert requirements.of_package(tmp_path, ()).lines == ()
    asked = requirements.of_package(tmp_path, base_sets.BASE_SETS["toolkit"])
    assert "scipy" in asked.lines
    assert "numpy" not in asked.lines  # the package's own line decides


@pytest.mark.parametrize(
    ("code", "added"),
    [
        ("def model_fn(d): ...", ("numpy",)),
        ("def input_fn(b, c): ...", ("numpy",)),
        ("def input_fn(b, c): ...\nfrom more import write as output_fn", ()),
        ("from more import *", ()),
        ("transform_fn = object()", ()),
        ("def no python", ()),
    ],
)
def test_handler_that_leaves_a_function_out_gets_what_the_default_imports(
    code: str, added: tuple[str, ...], package: MakePackage
) -> None:
    place = package({"code/inference.py": code})
    spec = InferenceHandlerSpec(handler_name="h", packaged_model_path=str(place))
    with RunDirectory() as run:
        assert base_sets.of(spec, open_package(spec, run)) == added
    named = spec.model_copy(update={"stack": "sklearn"})
    with RunDirectory() as run:
        assert base_sets.of(named, open_package(named, run)) == base_sets.BASE_SETS["sklearn"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r /dev/zero", "it is no regular file"),
        ("-r endless.txt", "it has more than 1048576 bytes"),
        ("-c fifo", "it is no regular file"),
        ("./crowded", "has more than 3 files"),
    ],
)
def test_what_a_package_names_cannot_take_the_testers_time_or_memory(
    line: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    written(tmp_path, "numpy\n" * 200_000, "endless.txt")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "crowded").mkdir()
    for number in range(4):
        written(tmp_path / "crowded", "", f"{number}.py")
    with pytest.raises(HandlerEnvironmentError, match=why):
        requirements.of_file(written(tmp_path, line + "\n"))


def test_a_local_project_with_a_fifo_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    os.mkfifo(tmp_path / "project" / "fifo")
    assert requirements.of_file(written(tmp_path, "./project\n")).digest
