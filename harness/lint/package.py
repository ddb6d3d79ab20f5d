"""Lint one package: unpack it, apply every rule, order what was found."""

from __future__ import annotations

import os
from pathlib import Path

from harness.artifacts.package import NoHandlerError, open_package
from harness.artifacts.workspace import RunDirectory
from harness.lint import binaries, code, leftovers, pickles, requirements, sizes
from harness.lint.finding import Finding, Rule, Subject
from harness.specs import InferenceHandlerSpec

RULES: tuple[Rule, ...] = (
    code.layout,
    code.functions,
    requirements.rule,
    pickles.rule,
    binaries.rule,
    leftovers.rule,
    leftovers.secrets,
    sizes.rule,
)
_ORDER = {"error": 0, "warning": 1, "note": 2}


def lint(spec: InferenceHandlerSpec, workspace: Path | None = None) -> list[Finding]:
    """Say everything about a package that can be said without running its code, worst first.

    A package without a handler is one finding, with the reason. Raises PackageError for one that
    cannot be opened.
    """
    with RunDirectory(workspace) as run:
        try:
            package = open_package(spec, run)
        except NoHandlerError as error:
            code = "HP103" if "has one root folder" in str(error) else "HP101"
            return [Finding(code, "error", str(error))]
        subject = Subject(spec, package, package.model_dir, tuple(_files(package.model_dir)))
        found = [finding for rule in RULES for finding in rule(subject)]
    return sorted(found, key=lambda finding: (_ORDER[finding.severity], finding.place()))


def _files(root: Path) -> list[Path]:
    found = []
    for folder, _, names in os.walk(root):
        paths = (Path(folder, name) for name in names)
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(found)
