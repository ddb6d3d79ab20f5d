"""Packages unpacked where the caller says, and removed only when they were made here."""

from pathlib import Path

from harness.artifacts import archive, workspace
from harness.errors import PackageError, SpecError


class Extractions:
    """The extraction directories of one tester, by the path the caller knows them by."""

    def __init__(self, root: Path | None) -> None:
        self._root = root or Path()
        self._made: set[Path] = set()

    def extract(self, package: Path, folder: Path) -> dict[str, str]:
        """Unpack a package into a directory that is not there yet.

        Gives extraction_root, inference_code, handler_file, and calibration_model where the package
        has a calibration/. Raises PackageError.
        """
        target = self._place(folder)
        if target.exists() or target.is_symlink():
            raise PackageError(f"{target} exists; name a directory that is not there yet")
        target.mkdir(parents=True)
        self._made.add(target)
        try:
            archive.unpack(package, target)
        except BaseException:
            self.remove(folder)
            raise
        paths = {
            "extraction_root": str(target),
            "inference_code": str(target / "code"),
            "handler_file": str(target / "code" / "inference.py"),
        }
        if (target / "calibration").is_dir():
            paths["calibration_model"] = str(target / "calibration")
        return paths

    def remove(self, folder: Path) -> None:
        """Remove an extraction directory, if it is there. Raises SpecError for a stranger's."""
        target = self._place(folder)
        if not target.exists():
            self._made.discard(target)
            return
        if target not in self._made:
            raise SpecError(f"{target} was not made by this tester, so it is left alone")
        workspace.remove(target)
        self._made.discard(target)

    def remove_all(self) -> None:
        """Remove every extraction directory that is left."""
        for target in list(self._made):
            self.remove(target)

    def _place(self, folder: Path) -> Path:
        return (self._root / folder).absolute()
