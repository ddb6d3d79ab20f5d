"""What the handler imports against what code/requirements.txt lists and the container brings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.environments import base_sets, distributions, imports, requirements
from harness.lint.finding import Finding, Subject

_MAX_BYTES = 1 << 20
_COMMENT = re.compile(r"(^|\s)#.*$")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?=\s*(?:[\[<>=!~;@(]|$))")


def rule(subject: Subject) -> Iterator[Finding]:
    """Find imports that nothing is known to provide; one that the handler can do without is none.

    Silent where there is no such file: an image may bring more than its stack is known to need.
    """
    package = subject.package
    if package.handler_file is None:
        return
    provided = _provided(subject)
    told = set()
    for item in imports.of_handler(package.handler_file, package.sys_path):
        known = item.guarded or distributions.is_built_in(item.module)
        if known or item.module in told:
            continue
        told.add(item.module)
        inside = item.file.is_relative_to(subject.root)
        place = (subject.place(item.file) if inside else None, item.line)
        if distributions.AWS_ONLY.fullmatch(item.module):
            said = f"{item.module} exists only inside AWS's containers; elsewhere the import fails"
            yield Finding("HP108", "note", said, *place)
        elif provided is not None and not distributions.listed(item.module, provided):
            said = f"{item.module} is imported, and code/requirements.txt does not list it"
            yield Finding("HP107", "warning", said, *place)


def _provided(subject: Subject) -> set[str] | None:
    """Name the distributions that will be there; None where that cannot be told."""
    file = subject.package.code_dir / "requirements.txt"
    if not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return None
    listed = _listed(file)
    return None if listed is None else listed | {*base_sets.BASE_SETS[subject.spec.stack]}


def _listed(file: Path) -> set[str] | None:
    """Read the names; None for a file that gets some from elsewhere, such as a wheel or another."""
    names = set()
    for line in file.read_text("utf-8-sig", "replace").replace("\\\n", "").splitlines():
        bare = _COMMENT.sub("", line).strip()
        match = _NAME.match(bare)
        if match is not None:
            names.add(requirements.normal(match[0]))
        elif bare and not bare.startswith(("--index", "--extra-index", "--hash", "--pre", "-i ")):
            return None
    return names
