"""The user's own configuration of pip and uv: passed through, and part of what an outcome is.

uv reads nothing of pip's, so what pip is told (its files, then PIP_ variables) is told to uv in
variables, where uv was told nothing itself.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# Of the tester's own virtual environment, or they would put packages somewhere else.
_LEFT_OUT = (
    *("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "TMPDIR"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIREMENT"),
    *("PIP_REQUIRE_VIRTUALENV", "UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON", "UV_PYTHON"),
)
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "pre": "UV_PRERELEASE",
    "only-binary": "UV_NO_BUILD",
    "no-binary": "UV_NO_BINARY",
}
_UV_OLD_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
# What these say does not change which versions come out.
_NO_MATTER = ("cert", "timeout", "trusted-host")


def variables() -> dict[str, str]:
    """Give the variables that pip and uv run with."""
    given = {name: text for name, text in os.environ.items() if name not in _LEFT_OUT}
    given |= {name: text for name, text in _told_to_uv().items() if not _is_told(name)}
    # pip takes the best version of all indexes; so does the container.
    given.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return given | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }


def uv_flags() -> list[str]:
    """Give what uv can be told on its command line only: pip's no-index has no variable there."""
    told = any(name in os.environ for name in (*_UV_OLD_NAMES, *_UV_OLD_NAMES.values()))
    return ["--no-index"] if _is_on(_pip_options().get("no-index", "")) and not told else []


def digest() -> str:
    """Stand for all of it that decides what is installed; values may be secrets and are hashed."""
    found = hashlib.sha256()
    options = _pip_options()
    for name, text in sorted(options.items()):
        if name not in _NO_MATTER:
            found.update(f"{name}={text}\0".encode(errors="surrogateescape"))
    for name in sorted(_UV_OUTCOME):
        found.update(f"{name}={os.environ.get(name, '')}\0".encode(errors="surrogateescape"))
    for path in (*_uv_files(), *_constraint_files(options)):
        found.update(path.read_bytes() if path.is_file() else b"\0")
    return found.hexdigest()


_UV_OUTCOME = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    *("UV_NO_INDEX", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_PRERELEASE", "UV_RESOLUTION"),
    *("UV_EXCLUDE_NEWER", "UV_NO_BUILD", "UV_NO_BINARY", "UV_INDEX_STRATEGY"),
)


def _told_to_uv() -> dict[str, str]:
    told = {}
    for option, text in _pip_options().items():
        name = _UV_NAMES.get(option)
        if name is None:
            continue
        if option == "pre":
            if not _is_on(text):
                continue
            text = "allow"
        elif option in ("only-binary", "no-binary"):
            if text.strip() != ":all:":
                continue
            text = "1"
        told[name] = (",".join if option == "find-links" else " ".join)(text.split())
    return told


def _is_on(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on")


def _is_told(name: str) -> bool:
    return name in os.environ or _UV_OLD_NAMES.get(name, name) in os.environ


def _pip_options() -> dict[str, str]:
    """Read pip's options as pip does: later files win, `install` over `global`, variables last."""
    options: dict[str, str] = {}
    files = [_parsed(path) for path in _pip_files() if path.is_file()]
    for section in ("global", "install"):
        for file in files:
            if file.has_section(section):
                options |= {key.replace("_", "-"): text for key, text in file.items(section)}
    for name, text in os.environ.items():
        if name.startswith("PIP_") and text:
            options[name[4:].lower().replace("_", "-")] = text
    return {name: text for name, text in options.items() if name in _UV_NAMES or name == "no-index"}


def _parsed(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read(path, encoding="utf-8")  # pip itself says what is wrong with it
    return parser


def _pip_files() -> Iterator[Path]:
    own = os.environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return
    home = Path.home()
    for folder in filter(None, os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if own:
        yield Path(own)


def _uv_files() -> Iterator[Path]:
    own = os.environ.get("UV_CONFIG_FILE")
    if own:
        yield Path(own)
    yield Path("/etc/uv/uv.toml")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "uv", "uv.toml")


def _constraint_files(options: Mapping[str, str]) -> Iterator[Path]:
    for text in (options.get("constraint", ""), os.environ.get("UV_CONSTRAINT", "")):
        yield from (Path(name) for name in text.split() if "://" not in name)
