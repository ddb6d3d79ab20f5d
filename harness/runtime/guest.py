"""What is started in a worker, a handler or a script, as far as starting it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.spec_environment import Environment
from harness.specs import Isolation, Limits, Network


class Asked(Protocol):
    """What every spec of something to be run says: its limits, its isolation, its environment."""

    @property
    def effective_limits(self) -> Limits:
        """The limits, with no timeout left open."""

    @property
    def isolation(self) -> Isolation:
        """The level of isolation."""

    @property
    def network(self) -> Network:
        """Whether there is a network."""

    @property
    def environment(self) -> Environment:
        """The interpreter and its packages."""

    @property
    def environ_vars(self) -> dict[str, str]:
        """The variables of its own."""


@dataclass(frozen=True)
class Guest:
    """What is asked for a worker, where it starts, and what it must be able to read and write.

    `writable` comes on top of the worker's private directories, and is all that it may write.
    `variables` are set in its environment, unless the spec says otherwise.
    """

    asked: Asked
    directory: Path
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
