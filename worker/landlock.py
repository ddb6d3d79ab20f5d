"""Landlock: the worker gives up writing outside its own directories, and TCP (landlock(7)).

What the kernel offers grows with its ABI: file rights from 1, truncation 3, TCP 4, signals and
abstract sockets 6. Reading stays open: a handler may read what the tester may.
"""

from __future__ import annotations

import os
import stat
import sys

from . import libc

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION_FLAG = 1
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

WRITE_FILE = 1 << 1
TRUNCATE = 1 << 14  # from ABI 3
REFER = 1 << 13  # from ABI 2
CHANGE_DIRECTORY = sum(1 << bit for bit in range(4, 13))  # remove and make, of every kind
TCP = 0b11  # bind and connect, from ABI 4
SCOPES = 0b11  # abstract sockets and signals, from ABI 6


class Unavailable(Exception):
    """The kernel does not do it; the text says what was refused."""


def main(arguments: list[str]) -> None:
    """Try it: restrict this process, see a write refused, and print the ABI."""
    try:
        version = restrict([], True)
        os.close(os.open("/tmp", os.O_TMPFILE | os.O_WRONLY))
    except PermissionError:
        os.write(1, b"%d\n" % version)
    except (Unavailable, OSError) as refusal:
        os.write(1, str(refusal).encode())
        os._exit(1)
    else:
        os.write(1, b"a write was not refused")
        os._exit(1)


def abi() -> int:
    """Give the kernel's Landlock ABI; 0 where there is none."""
    return max(0, _syscall(CREATE_RULESET, None, 0, VERSION_FLAG))


def restrict(writable: list[str], deny_tcp: bool) -> int:
    """Allow this process and its children to write below these paths only; give the ABI.

    Raise Unavailable. A path that is not there is left out, so that it cannot disable the rest.
    """
    version = abi()
    if version < 1:
        raise Unavailable("the kernel has no Landlock")
    rights = WRITE_FILE | CHANGE_DIRECTORY
    rights |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    attributes = _number(rights, 8)
    if version >= 4:
        attributes += _number(TCP if deny_tcp else 0, 8)
    if version >= 6:
        attributes += _number(SCOPES, 8)
    ruleset = _syscall(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        raise Unavailable("landlock_create_ruleset was refused")
    try:
        for path in writable:
            _allow(ruleset, path, rights)
        if libc.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise Unavailable("no_new_privs was refused")
        if _syscall(RESTRICT_SELF, ruleset, 0) != 0:
            raise Unavailable("landlock_restrict_self was refused")
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= WRITE_FILE | TRUNCATE
        rule = _number(rights, 8) + _number(place, 4)
        if _syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0) != 0:
            raise Unavailable("landlock_add_rule was refused for %s" % path)
    finally:
        os.close(place)


def _number(value: int, size: int) -> bytes:
    """Write a number as C has it; `struct` would be one extension more to load."""
    return value.to_bytes(size, sys.byteorder)


def _syscall(number: int, *arguments: object) -> int:
    result = libc.call("syscall", number, *arguments)
    return -1 if result is None else int(result)
