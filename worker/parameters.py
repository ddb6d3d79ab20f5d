"""From the tester's arguments to live objects: JSON, kept values, bodies, bytes, pickles."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


import binascii
import os
import sys

from . import bodies
from .late import pickle


class Unavailable(Exception):
    """A parameter could not be had; its text is for the user."""


def resolve(argument: dict[str, Any], kept: dict[str, Any], profile: Any) -> Any:
    """Give the object that one argument of a call stands for. Raise Unavailable.

    What a request's body and headers become is the stack's affair: its profile says it.
    """
    kind = argument["kind"]
    if kind == "json":
        return argument.get("json")
    if kind == "kept":
        try:
            return kept[argument["id"]]
        except KeyError:
            raise Unavailable("the value of call %s is not kept here" % argument["id"]) from None
    if kind == "accept":
        return profile.accept(header(argument.get("accept")))
    if kind == "content_type":
        return profile.content_type(header(argument.get("content_type")))
    data = _data(argument)
    if kind == "bytes":
        return bytes(data)
    if kind == "body":
        return profile.body(data, header(argument.get("content_type")))
    return _unpickle(data)


def header(text: str | None) -> str | None:
    """Give a header's value as a server reads it: the blanks around it are none of it."""
    return None if text is None else text.strip(" \t")


def _data(argument: dict[str, Any]) -> bytes | bytearray:
    if argument.get("size") is None:
        return binascii.a2b_base64(argument["data"])
    try:
        return bodies.read(argument["at"], argument["size"])
    except OSError as error:
        raise Unavailable("a parameter of the call cannot be read: %s" % error) from error


def _unpickle(data: bytes | bytearray) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:
        raise Unavailable(
            "a parameter could not be unpickled in the worker (Python %s): %s: %s; send plain data,"
            " or test in an environment that has what it needs"
            % (sys.version.split()[0], type(error).__name__, error)
        ) from error


class CloudpickleFinder:
    """Finds the tester's cloudpickle, and nothing else of the tester's packages.

    It stands last on sys.meta_path: a cloudpickle of the handler's own environment wins.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Answer the import system (importlib.abc.MetaPathFinder)."""
        if name != "cloudpickle":
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(
            name,
            os.path.join(self._folder, "__init__.py"),
            submodule_search_locations=[self._folder],
        )
