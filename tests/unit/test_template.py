"""A template's sockets, where its other processes are quick or gone."""

from __future__ import annotations

import os
import socket
from typing import Any

import worker.template as template


class WithHastyPeer(socket.socket):
    """A socket whose peer closes its end as soon as it has what was sent to it."""

    peer: socket.socket
    got: bytes

    def sendmsg(self, *given: Any) -> int:
        sent = super().sendmsg(*given)
        self.got, descriptors, _, _ = socket.recv_fds(self.peer, 65_536, 8)
        for descriptor in descriptors:
            os.close(descriptor)
        self.peer.close()
        return sent


def test_worker_that_takes_its_order_and_closes_its_end_has_been_started() -> None:
    one, other = socket.socketpair()
    with WithHastyPeer(fileno=one.detach()) as channel:
        channel.peer = other
        template._give(channel, b"an order\n", [0])
    assert channel.got == b"an order\n"
