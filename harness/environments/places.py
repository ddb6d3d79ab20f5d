"""Where environments are kept, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HandlerEnvironmentError

VARIABLE = "HANDLERPROOF_CACHE"


def root() -> Path:
    """Give the cache directory: HANDLERPROOF_CACHE, else handlerproof in the user's XDG cache."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return Path(cache if os.path.isabs(cache) else Path.home() / ".cache") / "handlerproof"


def environments() -> Path:
    """Give the directory of the environments, made when it is not there. Raises OSError."""
    folder = root() / "environments"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write(path: Path, content: bytes) -> None:
    """Write a file aside and put it in place whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Turn what the file system refuses into a HandlerEnvironmentError."""
    try:
        yield
    except OSError as error:
        raise HandlerEnvironmentError(
            f"environment: the cache {root()} cannot be used: {error}; free some space, or name "
            f"another directory in {VARIABLE}"
        ) from error
