"""Planned calls made ready to go out together, for one session: their lines, bodies in place."""

from collections.abc import Sequence
from typing import NamedTuple

import worker.protocol as protocol
from harness.checks.calls import Planned
from harness.runtime import wire
from harness.runtime.bodies import Raw
from harness.runtime.session import Session
from harness.runtime.wire import Series

AHEAD_BYTES = 1 << 20


class Made(NamedTuple):
    """What was made of which calls, for which session; `forget` as in `made`."""

    session: Session
    planned: Sequence[Planned]
    forget: list[str] | None
    series: Series

    def serves(
        self, session: Session, planned: Sequence[Planned], forget: list[str] | None
    ) -> bool:
        """Say whether it is of these calls, and the worker is at them or can be sent them."""
        is_of_these = self[:3] == (session, planned, forget)
        return is_of_these and (not self.series.calls[0].follows or session.is_at(self.series))


def made(
    session: Session,
    planned: Sequence[Planned],
    forget: list[str] | None,
    *,
    follows: bool = False,
) -> Made:
    """Make calls ready; each after the first is made if the one before passed and was quiet.

    With the call that is the last of `forget` the worker frees the values of all of these. With
    `follows` the first call, too, is one that follows: on whatever is under way.
    """
    last = planned[-1]
    messages = [
        protocol.Call(
            id=item.name,
            function=item.function,  # type: ignore[arg-type]
            arguments=[session.carry(it) if isinstance(it, Raw) else it for it in item.given],
            content_type=item.headers.content_type,
            accept=item.headers.accept,
            body_bytes=item.headers.body_bytes,
            follows=True if follows or item is not planned[0] else None,
            forget=forget if item is last and forget and item.name == forget[-1] else None,
        )
        for item in planned
    ]
    return Made(session, planned, forget, wire.series_of(messages))


def is_small(planned: Sequence[Planned]) -> bool:
    """Say whether calls may be made ready long before they are sent: what is large waits twice."""
    given = [item for call in planned for item in call.given]
    return sum(len(item.data) for item in given if isinstance(item, Raw)) <= AHEAD_BYTES
