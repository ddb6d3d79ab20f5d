"""Packages and handlers of every layout: what is copied, and which module is the entry point."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.artifacts import layout
from harness.artifacts.limits import ArchiveLimits
from harness.artifacts.package import Package, open_package
from harness.artifacts.workspace import RunDirectory
from harness.errors import HarnessError, PackageError
from harness.specs import InferenceHandlerSpec
from tests.conftest import MakePackage

HANDLER = "def model_fn(model_dir): ...\n"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "runs") as directory:
        yield directory


@pytest.fixture
def opened(run: RunDirectory) -> Callable[..., Package]:
    def open_with(**fields: Any) -> Package:
        paths = {name: str(value) for name, value in fields.items() if isinstance(value, Path)}
        return open_package(InferenceHandlerSpec(handler_name="h", **(fields | paths)), run)

    return open_with


Open = Callable[..., Package]


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


class TestPackage:
    @pytest.mark.parametrize("as_archive", [True, False])
    @pytest.mark.parametrize("prefix", ["", "./"])
    def test_usual_layout(
        self, package: MakePackage, opened: Open, run: RunDirectory, as_archive: bool, prefix: str
    ) -> None:
        names = ["code/inference.py", "code/lib/x.py", "model.bin", "calibration/map.json"]
        source = package({prefix + name: HANDLER for name in names}, as_archive=as_archive)
        found = opened(packaged_model_path=source)
        assert found == Package(
            model_dir=run.path / "model",
            code_dir=run.path / "model" / "code",
            module="inference",
            handler_file=run.path / "model" / "code" / "inference.py",
            sys_path=(run.path / "model" / "code", run.path / "model"),
            calibration_dir=run.path / "model" / "calibration",
            warnings=(),
        )
        assert tree(found.model_dir) == set(names)

    def test_copy_is_the_handlers_own(self, package: MakePackage, opened: Open) -> None:
        source = package({"inference.py": HANDLER, "model.bin": "weights"})
        found = opened(packaged_model_path=source)
        (found.model_dir / "model.bin").write_text("changed")
        shutil.rmtree(found.model_dir)
        assert (source / "model.bin").read_text() == "weights"

    @pytest.mark.parametrize(
        ("files", "fields", "module", "file"),
        [
            (["code/inference.py", "inference.py"], {}, "inference", "code/inference.py"),
            (["code/lib.py", "inference.py"], {}, "inference", "inference.py"),
            (["inference.py"], {}, "inference", "inference.py"),
            (["inference/__init__.py"], {}, "inference", "inference/__init__.py"),
            (["code/serve.py", "code/inference.py"], {"entry_point": "serve.py"}, "serve", None),
            (["code/serve.py", "code/inference.py"], {"entry_point": "serve"}, "serve", None),
            (["code/a/__init__.py", "code/a/b.py"], {"entry_point": "a.b"}, "a.b", "code/a/b.py"),
            (
                ["code/serve.py", "code/inference.py"],
                {"environ_vars": {"SAGEMAKER_PROGRAM": "serve.py"}},
                "serve",
                "code/serve.py",
            ),
            (
                ["code/serve.py", "code/other.py"],
                {"environ_vars": {"SAGEMAKER_PROGRAM": "other.py"}, "entry_point": "serve"},
                "serve",
                "code/serve.py",
            ),
        ],
    )
    def test_entry_point_by_name(
        self,
        package: MakePackage,
        opened: Open,
        files: list[str],
        fields: dict[str, Any],
        module: str,
        file: str | None,
    ) -> None:
        found = opened(packaged_model_path=package(dict.fromkeys(files, HANDLER)), **fields)
        assert found.module == module
        assert found.handler_file == found.model_dir / (file or f"code/{module}.py")
        assert found.warnings == ()

    def test_without_code_the_root_is_searched_once(
        self, package: MakePackage, opened: Open
    ) -> None:
        found = opened(packaged_model_path=package({"inference.py": HANDLER}))
        assert found.sys_path == (found.model_dir,)
        assert found.code_dir == found.model_dir
        assert found.calibration_dir is None

    @pytest.mark.parametrize(
        ("file", "program", "named", "setting"),
        [
            ("code/serve.py", None, "'inference'", "SAGEMAKER_PROGRAM=serve.py"),
            ("serve.py", None, "'inference'", "SAGEMAKER_PROGRAM=serve.py"),
            ("code/serve/__init__.py", None, "'inference'", "SAGEMAKER_PROGRAM=serve"),
            ("code/inference.py", "serve.py", "'serve'", "SAGEMAKER_PROGRAM=inference.py"),
            ("code/inference.py", "", "''", "SAGEMAKER_PROGRAM=inference.py"),
            (
                "code/inference.py",
                "code/inference.py",
                "a module name has no '/'",
                "SAGEMAKER_PROGRAM=inference.py",
            ),
        ],
    )
    def test_only_module_with_handler_functions_is_used_with_a_warning(
        self,
        package: MakePackage,
        opened: Open,
        file: str,
        program: str | None,
        named: str,
        setting: str,
    ) -> None:
        source = package({file: HANDLER, "code/train.py": "import json\n"})
        environ = {} if program is None else {"SAGEMAKER_PROGRAM": program}
        found = opened(packaged_model_path=source, environ_vars=environ)
        assert found.handler_file == found.model_dir / file
        assert len(found.warnings) == 1
        assert named in found.warnings[0]
        assert found.warnings[0].endswith(setting)

    def test_several_such_modules_are_left_to_the_user(
        self, package: MakePackage, opened: Open
    ) -> None:
        source = package({"code/a.py": HANDLER, "b.py": HANDLER})
        with pytest.raises(PackageError, match=r"functions: code/a\.py, b\.py; set entry_point"):
            opened(packaged_model_path=source)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            (["model/code/inference.py"], "one root folder 'model/': pack its content instead"),
            (["model/inference.py", "._model"], "one root folder 'model/': pack its content"),
            (["src/deep/inference.py", "x"], r"files found: src/deep/inference\.py; put the"),
            (["code/train.py", "x"], r"files found: code/train\.py; put the handler into code/"),
            (["model.bin"], r"it holds 'model\.bin' and no Python file; put inference\.py into"),
            (["model.tar.gz", "payloads/a.csv"], r"the package: name .*package-1/model\.tar\.gz$"),
            (["model.tar.gz", "payloads/make.py"], r"the package: name .*/model\.tar\.gz$"),
            ([f"{n:02}.bin" for n in range(14)], "'09.bin' and 4 more and no Python file"),
        ],
    )
    def test_no_handler_at_all_is_diagnosed(
        self, package: MakePackage, opened: Open, files: list[str], message: str
    ) -> None:
        text = HANDLER if files[0].endswith("inference.py") else "import json\n"
        source = package(dict.fromkeys(files, text))
        with pytest.raises(PackageError, match=message) as raised:
            opened(packaged_model_path=source)
        assert str(raised.value).startswith(f"{source}: no module 'inference' in ")

    def test_no_handler_runs_the_defaults_of_a_stack_that_was_named(
        self, package: MakePackage, opened: Open
    ) -> None:
        found = opened(packaged_model_path=package({"model.bin": "x"}), stack="toolkit")
        assert (found.module, found.handler_file) == ("inference", None)
        assert "no module 'inference' in the root" in found.warnings[0]

    @pytest.mark.parametrize(
        ("entry_point", "message"),
        [
            (
                "serve",
                r"entry_point 'serve' is not in code/ or the root; handler functions are def",
            ),
            ("code/inference.py", r"is a path, but .* set entry_point='inference\.py'"),
        ],
    )
    def test_explicit_entry_point_that_is_not_there_is_refused(
        self, package: MakePackage, opened: Open, entry_point: str, message: str
    ) -> None:
        source = package({"code/inference.py": HANDLER})
        with pytest.raises(PackageError, match=message):
            opened(packaged_model_path=source, entry_point=entry_point)

    def test_explicit_entry_point_in_a_root_folder_is_diagnosed(
        self, package: MakePackage, opened: Open
    ) -> None:
        with pytest.raises(PackageError, match="one root folder 'model/'"):
            opened(packaged_model_path=package({"model/serve.py": HANDLER}), entry_point="serve")

    @pytest.mark.parametrize(
        ("files", "warned"),
        [
            (["requirements.txt"], True),
            (["requirements.txt", "code/requirements.txt"], False),
            (["code/requirements.txt"], False),
        ],
    )
    def test_requirements_that_the_server_ignores(
        self, package: MakePackage, opened: Open, files: list[str], warned: bool
    ) -> None:
        source = package({"code/inference.py": HANDLER, **dict.fromkeys(files, "numpy\n")})
        found = opened(packaged_model_path=source)
        assert [text.split(":")[0] for text in found.warnings] == warned * [
            "requirements.txt lies at the root of the package, where the server ignores it"
        ]

    def test_files_that_macos_added_are_kept_and_reported(
        self, package: MakePackage, opened: Open
    ) -> None:
        source = package({"code/inference.py": HANDLER, "code/._inference.py": "\0", "._code": ""})
        found = opened(packaged_model_path=source)
        assert (found.model_dir / "code/._inference.py").exists()
        assert "holds 2 '._' files that macOS added" in found.warnings[0]

    def test_path_that_is_not_there_is_refused(self, tmp_path: Path, opened: Open) -> None:
        with pytest.raises(PackageError, match=r"none\.tar\.gz: cannot be opened: No such file"):
            opened(packaged_model_path=tmp_path / "none.tar.gz")


class TestOverrides:
    def test_extraction_root_takes_the_place_of_the_archive(
        self, package: MakePackage, opened: Open
    ) -> None:
        source = package({"code/inference.py": "archive"}, as_archive=True)
        root = package({"code/inference.py": "directory"})
        found = opened(packaged_model_path=source, model_paths={"extraction_root": str(root)})
        assert (found.code_dir / "inference.py").read_text() == "directory"
        assert found.model_dir != root

    @pytest.mark.parametrize("absolute", [True, False])
    def test_inference_code_dir_takes_the_place_of_code(
        self, package: MakePackage, opened: Open, absolute: bool
    ) -> None:
        source = package({"code/inference.py": HANDLER, "src/v2/inference.py": HANDLER})
        asked = str(source / "src/v2") if absolute else "src/v2"
        found = opened(packaged_model_path=source, code_paths={"inference_code_dir": asked})
        assert found.code_dir == found.model_dir / "src/v2"
        assert found.handler_file == found.model_dir / "src/v2/inference.py"
        assert found.sys_path == (found.code_dir, found.model_dir)

    @pytest.mark.parametrize("asked", ["none", "../..", "/etc", "inference.py"])
    def test_inference_code_dir_must_be_a_directory_inside(
        self, package: MakePackage, opened: Open, asked: str
    ) -> None:
        source = package({"inference.py": HANDLER})
        with pytest.raises(PackageError, match=r"is no directory of the package.*'inference\.py'"):
            opened(packaged_model_path=source, code_paths={"inference_code_dir": asked})

    @pytest.mark.parametrize(
        ("asked", "file", "first"),
        [
            ("serve.py", "code/serve.py", "code"),
            ("code/serve.py", "code/serve.py", "code"),
            ("root.py", "root.py", "."),
            ("deep/inner.py", "code/deep/inner.py", "code/deep"),
        ],
    )
    def test_handler_file_is_the_entry_point(
        self, package: MakePackage, opened: Open, asked: str, file: str, first: str
    ) -> None:
        files = ["code/inference.py", "code/serve.py", "root.py", "code/deep/inner.py"]
        source = package(dict.fromkeys(files, HANDLER))
        found = opened(packaged_model_path=source, code_paths={"handler_file": asked})
        assert found.handler_file == found.model_dir / file
        assert found.module == Path(file).stem
        assert found.sys_path[0] == found.model_dir / first
        assert set(found.sys_path) >= {found.model_dir, found.model_dir / "code"}

    @pytest.mark.parametrize("asked", ["none.py", "../x.py", "model.bin", "code"])
    def test_handler_file_must_be_a_python_file_inside(
        self, package: MakePackage, opened: Open, asked: str
    ) -> None:
        source = package({"code/inference.py": HANDLER, "model.bin": "x"})
        with pytest.raises(PackageError, match=r"is no \.py file of it; .*'inference\.py'"):
            opened(packaged_model_path=source, code_paths={"handler_file": asked})

    def test_sys_path_of_the_spec_comes_last(
        self, tmp_path: Path, package: MakePackage, opened: Open
    ) -> None:
        source = package({"code/inference.py": HANDLER})
        found = opened(packaged_model_path=source, sys_path=(str(tmp_path),))
        assert found.sys_path == (found.code_dir, found.model_dir, tmp_path)
        with pytest.raises(PackageError, match="correct sys_path"):
            opened(packaged_model_path=source, sys_path=(str(tmp_path / "none"),))


class TestHandlerPath:
    def test_handler_and_its_siblings_are_copied(
        self, tmp_path: Path, opened: Open, run: RunDirectory
    ) -> None:
        home = write(
            tmp_path / "home",
            {
                "serve.py": HANDLER,
                "lib/util.py": "",
                "data.txt": "",
                ".git/HEAD": "",
                "__pycache__/serve.pyc": "",
                "lib/__pycache__/util.pyc": "",
                "my-env/pyvenv.cfg": "",
                "my-env/lib/huge.py": "",
                ".venv/x.py": "",
                "models/weights.bin": "w",
                "models/old/weights.bin": "w",
            },
        )
        found = opened(handler_path=home / "serve.py", model_dir=home / "models")
        assert found == Package(
            model_dir=run.path / "model",
            code_dir=run.path / "code",
            module="serve",
            handler_file=run.path / "code" / "serve.py",
            sys_path=(run.path / "code", run.path / "model"),
            calibration_dir=None,
            warnings=(),
        )
        assert tree(found.code_dir) == {"serve.py", "lib/util.py", "data.txt"}
        assert tree(found.model_dir) == {"weights.bin", "old/weights.bin"}
        (found.model_dir / "weights.bin").write_text("changed")
        assert (home / "models/weights.bin").read_text() == "w"

    def test_without_model_dir_it_is_empty(self, tmp_path: Path, opened: Open) -> None:
        write(tmp_path / "home", {"h.py": HANDLER})
        found = opened(handler_path=tmp_path / "home/h.py")
        assert list(found.model_dir.iterdir()) == []

    def test_handler_in_code_of_its_model_dir(self, tmp_path: Path, opened: Open) -> None:
        home = write(tmp_path / "home", {"code/h.py": HANDLER, "weights": "w"})
        found = opened(handler_path=home / "code/h.py", model_dir=home)
        assert tree(found.model_dir) == {"code/h.py", "weights"}
        assert tree(found.code_dir) == {"h.py"}

    def test_relative_paths_start_at_the_working_directory(
        self, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "home", {"h.py": HANDLER, "m/weights": "w"})
        monkeypatch.chdir(tmp_path / "home")
        found = opened(handler_path="h.py", model_dir="m")
        assert tree(found.code_dir) == {"h.py"}
        assert tree(found.model_dir) == {"weights"}

    def test_workspace_beside_the_handler_is_left_out(
        self, tmp_path: Path, opened: Open, run: RunDirectory
    ) -> None:
        """The run directory lies in tmp_path, as does this handler."""
        write(tmp_path, {"h.py": HANDLER})
        found = opened(handler_path=tmp_path / "h.py")
        assert tree(found.code_dir) == {"h.py"}

    def test_links_that_leave_are_left_out_with_a_warning(
        self, tmp_path: Path, opened: Open
    ) -> None:
        write(tmp_path, {"real/h.py": HANDLER, "real/big.bin": "b"})
        (tmp_path / "home").mkdir()
        (tmp_path / "home/h.py").symlink_to("../real/h.py")
        (tmp_path / "home/data").symlink_to("../real")
        found = opened(handler_path=tmp_path / "home/h.py")
        assert (found.code_dir / "h.py").read_text() == HANDLER
        assert not (found.code_dir / "h.py").is_symlink()
        assert not (found.code_dir / "data").exists()
        assert found.warnings == (
            f"data is a symlink that leaves {tmp_path / 'home'}: it was left out",
        )

    def test_too_large_a_directory_is_refused(
        self, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits = layout._HANDLER_DIRECTORY_LIMITS
        assert (limits.max_members, limits.max_bytes) == (5_000, 256 << 20)
        write(tmp_path / "home", {"h.py": HANDLER, "a": "", "b": ""})
        monkeypatch.setattr(layout, "_HANDLER_DIRECTORY_LIMITS", ArchiveLimits(max_members=2))
        with pytest.raises(PackageError, match="more than 2 files.*or give packaged_model_path"):
            opened(handler_path=tmp_path / "home/h.py")

    def test_sparse_giant_beside_the_handler_is_refused_unread(
        self, tmp_path: Path, opened: Open
    ) -> None:
        write(tmp_path / "home", {"h.py": HANDLER, "z.bin": ""})
        os.truncate(tmp_path / "home/z.bin", 1 << 40)
        with pytest.raises(PackageError, match="holds more than 268435456 bytes"):
            opened(handler_path=tmp_path / "home/h.py")

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"handler_path": "none.py"}, "none.py: no such file; correct handler_path"),
            ({"handler_path": "."}, r"handler_path is no \.py file"),
            ({"handler_path": "notes.txt"}, r"handler_path is no \.py file"),
            ({"handler_path": "h.py", "model_dir": "none"}, "none: no such directory; correct mod"),
            ({"handler_path": "h.py", "entry_point": "g.py"}, r"contradicts the handler file 'h.p"),
            ({"handler_path": "two.dots.py"}, "cannot be imported as a module of its own"),
            (
                {"handler_path": "h.py", "code_paths": {"inference_code_dir": "."}},
                "belongs to packaged_model_path",
            ),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self,
        tmp_path: Path,
        opened: Open,
        monkeypatch: pytest.MonkeyPatch,
        fields: dict[str, Any],
        message: str,
    ) -> None:
        home = write(tmp_path / "home", {"h.py": HANDLER, "notes.txt": "", "two.dots.py": HANDLER})
        monkeypatch.chdir(home)
        with pytest.raises(PackageError, match=message):
            opened(**fields)

    def test_entry_point_that_agrees_is_accepted(self, tmp_path: Path, opened: Open) -> None:
        write(tmp_path / "home", {"h.py": HANDLER})
        assert opened(handler_path=tmp_path / "home/h.py", entry_point="h.py").module == "h"

    def test_full_disk_is_no_fault_of_the_handler(
        self, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        write(tmp_path / "home", {"h.py": HANDLER})
        monkeypatch.setattr("harness.artifacts.tree.copy", full)
        with pytest.raises(HarnessError, match="No space left on device; free some") as raised:
            opened(handler_path=tmp_path / "home/h.py")
        assert not isinstance(raised.value, PackageError)
