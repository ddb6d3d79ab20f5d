"""What came into the package by accident, and secrets written into its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.lint.finding import Finding, Subject

_DIRECTORIES = {
    ".git": "the repository's history",
    ".ipynb_checkpoints": "old copies that a notebook saved",
    "__MACOSX": "what macOS adds to archives",
    ".venv": "a virtual environment",
    "node_modules": "JavaScript packages",
    ".idea": "an editor's settings",
    ".vscode": "an editor's settings",
    ".svn": "the repository's history",
    ".hg": "the repository's history",
    ".tox": "virtual environments",
    ".ruff_cache": "what ruff remembers",
    ".pytest_cache": "what pytest remembers",
    ".mypy_cache": "what mypy remembers",
}
_MAX_TEXT_BYTES = 2 << 20
_TEXT = frozenset(
    {".py", ".txt", ".json", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".env", ".sh", ".md", ""}
)
# Formats of keys as their makers publish them; a word that merely looks random is not claimed.
_SECRETS = (
    ("an AWS access key id", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    (
        "an AWS secret access key",
        re.compile(
            r"aws_secret_access_key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}\b", re.IGNORECASE
        ),
    ),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{50,})")),
    ("a HuggingFace token", re.compile(r"\bhf_[A-Za-z0-9]{34}\b")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}")),
    ("an OpenAI key", re.compile(r"\bsk-(?:proj-)?[A-Za-z0-9_-]{32,}\b")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:[^\s/@\"'{}$]{3,}@")),
)


def rule(subject: Subject) -> Iterator[Finding]:
    """Find directories and files that nobody meant to ship."""
    told: set[str] = set()
    for file in subject.files:
        place = subject.place(file)
        for index, part in enumerate(place.split("/")[:-1]):
            folder = "/".join(place.split("/")[: index + 1])
            if part in _DIRECTORIES and folder not in told:
                told.add(folder)
                what = _DIRECTORIES[part]
                yield Finding("HP805", "warning", f"{what} is shipped with the model", folder)


def secrets(subject: Subject) -> Iterator[Finding]:
    """Find keys and passwords; the message never holds them."""
    for file in subject.files:
        if file.suffix.lower() not in _TEXT or file.stat().st_size > _MAX_TEXT_BYTES:
            continue
        yield from _secrets_in(file, subject.place(file))


def _secrets_in(file: Path, place: str) -> Iterator[Finding]:
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        for what, pattern in _SECRETS:
            if pattern.search(line):
                told = f"{what} is written into the package: take it out, and make a new one"
                yield Finding("HP806", "error", told, place, number)
