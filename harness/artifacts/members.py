"""Judge the names and links of an archive's members, before any of them is written."""

from __future__ import annotations

import re
import unicodedata

from harness.artifacts.limits import ArchiveLimits
from harness.artifacts.tar import Kind, Member, show
from harness.errors import PackageError

_MAX_PART_BYTES = 255  # NAME_MAX of the usual file systems
_DRIVE = re.compile(r"[A-Za-z]:")
_UNPRINTABLE = frozenset({"Cc", "Zl", "Zp"})


class Ledger:
    """Remember the members seen so far, and admit the next one or refuse it.

    All is decided on names alone, so it holds only when the target directory was empty and
    nobody else writes there. What it promises of the admitted members together: each has one
    place below the root, no two share a place, none lies behind a link, and each link ends at a
    place below the root without passing another link.
    """

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._count = 0
        self._declared_bytes = 0
        self._kinds: dict[str, Kind] = {"": "directory"}
        self._listed: set[str] = set()
        self._spellings: dict[str, str] = {}
        self._link_routes: dict[str, str] = {}  # each place a symlink leads through -> that link

    def admit(self, member: Member) -> str:
        """Return the member's place, a clean relative path ("" for the root), and book it.

        Raises:
            PackageError: says what is wrong with the member.
        """
        try:
            self._count_in(member)
            place = self._place(member.name)
            self._book(place, member)
            return place
        except _Refusal as refusal:
            raise PackageError(f"member {show(member.name)} {refusal}") from None

    def _count_in(self, member: Member) -> None:
        self._count_place()
        self._declared_bytes += member.size
        if self._declared_bytes > self._limits.max_bytes:
            raise _Refusal(
                f"brings the total to more than {self._limits.max_bytes} bytes; remove what "
                "serving does not need, or raise ArchiveLimits.max_bytes"
            )

    def _count_place(self) -> None:
        self._count += 1
        if self._count > self._limits.max_members:
            raise _Refusal(
                f"is one more than the {self._limits.max_members} members allowed; remove what "
                "serving does not need, or raise ArchiveLimits.max_members"
            )

    def _place(self, name: str) -> str:
        _check_text(name)
        if name.startswith("/"):
            raise _Refusal("has an absolute name; pack with relative names (tar -C model .)")
        if not name:
            raise _Refusal("has an empty name; pack it again")
        if len(name.encode()) > self._limits.max_name:
            raise _Refusal(
                f"has a name longer than {self._limits.max_name} bytes; shorten its path"
            )
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for part in parts:
            _check_part(part)
        if len(parts) > self._limits.max_depth:
            raise _Refusal(f"lies deeper than {self._limits.max_depth} levels; flatten its path")
        return "/".join(parts)

    def _book(self, place: str, member: Member) -> None:
        if not place and member.kind != "directory":
            raise _Refusal("has no name of its own; pack it again")
        for parent in _parents(place):
            self._book_parent(parent)
        self._check_free(place, member.kind)
        if member.kind in ("symlink", "hard link"):
            self._check_link(place, member)
        self._check_case(place)
        self._kinds[place] = member.kind
        self._listed.add(place)

    def _book_parent(self, parent: str) -> None:
        kind = self._kinds.get(parent, "directory")
        if kind in ("symlink", "hard link"):
            raise _Refusal(f"lies behind the link {show(parent)}; pack the real directory")
        if kind != "directory":
            raise _Refusal(f"uses the file {show(parent)} as a directory; rename one of them")
        if parent not in self._kinds:
            self._count_place()  # a directory that is only implied costs an inode all the same
            self._check_case(parent)
            self._kinds[parent] = "directory"

    def _check_free(self, place: str, kind: Kind) -> None:
        taken = self._kinds.get(place)
        if taken is None or taken == kind == "directory":
            return
        if place in self._listed:
            raise _Refusal("is there twice; pack each file once (tar -r appends duplicates)")
        raise _Refusal("is also used as a directory by another member; rename one of them")

    def _check_case(self, place: str) -> None:
        folded = unicodedata.normalize("NFC", place).casefold()
        other = self._spellings.setdefault(folded, place)
        if other != place:
            raise _Refusal(
                f"differs only in case or Unicode form from {show(other)}, and would replace it "
                "on some file systems; rename one of them"
            )

    def _check_link(self, place: str, member: Member) -> None:
        target = link_destination(place, member)
        if member.kind == "hard link":
            if self._kinds.get(target) != "file":
                raise _Refusal(
                    f"is a hard link to {show(member.target)}, which is no earlier file of the "
                    "archive; pack a copy (tar --hard-dereference)"
                )
            return
        if place in self._link_routes:
            raise _chained(self._link_routes[place])
        for route in (*_parents(target), target):
            if self._kinds.get(route) == "symlink" or route == place:
                raise _chained(route)
            if route:
                self._link_routes.setdefault(route, place)


def link_destination(place: str, member: Member) -> str:
    """Return where a link leads, as a clean path relative to the root.

    A symlink's text starts at the link's own directory, a hard link's at the root. Going up is
    taken at the start only: `link/../x` would go up from wherever `link` leads to.
    """
    target = member.target
    _check_text(target)
    if not target:
        raise _Refusal(f"is a {member.kind} to nowhere; pack the real file")
    if target.startswith("/") or _DRIVE.match(target) or "\\" in target:
        raise _Refusal(
            f"is a {member.kind} to the absolute path {show(target)}; pack the real file (tar -h)"
        )
    parts = place.split("/")[:-1] if member.kind == "symlink" else []
    descended = False
    for part in target.split("/"):
        if part == "..":
            if descended:
                raise _Refusal(
                    f"is a {member.kind} to {show(target)}, which goes up again; pack the real "
                    "file (tar -h)"
                )
            if not parts:
                raise _Refusal(
                    f"is a {member.kind} to {show(target)}, which leaves the archive; pack "
                    "the real file (tar -h)"
                )
            parts.pop()
        elif part not in ("", "."):
            descended = True
            parts.append(part)
    return "/".join(parts)


class _Refusal(Exception):
    """What is wrong with the member at hand; `Ledger.admit` adds its name."""


def _chained(link: str) -> _Refusal:
    return _Refusal(f"is part of a chain of links, with {show(link)}; pack the real file (tar -h)")


def _check_text(text: str) -> None:
    """Refuse what is not plain printable UTF-8."""
    if "\0" in text:
        raise _Refusal("has a NUL byte in its name; rename it")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _Refusal("has a name that is not UTF-8; rename it")
    if not text.isprintable() and any(
        unicodedata.category(letter) in _UNPRINTABLE for letter in text
    ):
        raise _Refusal("has a newline or control character in its name; rename it")


def _check_part(part: str) -> None:
    if part == "..":
        raise _Refusal("has '..' in its name; pack with names below the model directory")
    if "\\" in part:
        raise _Refusal("has a backslash in its name; pack with forward slashes")
    if _DRIVE.match(part):
        raise _Refusal("has a drive letter in its name; pack with relative names")
    if part.endswith((" ", ".")):
        raise _Refusal("has a name that ends in a space or a dot; rename it")
    if len(part.encode()) > _MAX_PART_BYTES:
        raise _Refusal(f"has a part longer than {_MAX_PART_BYTES} bytes; shorten its name")


def _parents(place: str) -> list[str]:
    parts = place.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
