"""What a handler wrote to its standard streams during one call: its head, its tail, its size."""

from collections import deque

from harness.summaries import LogExcerpt

HEAD_BYTES = 16_384
TAIL_BYTES = 16_384


class LogCapture:
    """Keeps the first and the last 16 KiB of a stream of bytes, and counts the rest."""

    def __init__(self) -> None:
        self.total_bytes = 0
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0

    def add(self, data: bytes) -> None:
        """Take bytes as they came."""
        self.total_bytes += len(data)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail.append(data[-TAIL_BYTES:])
        self._tail_bytes += len(self._tail[-1])
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())

    def excerpt(self) -> LogExcerpt | None:
        """Give what was kept as text, or None where nothing was written."""
        if not self.total_bytes:
            return None
        tail = b"".join(self._tail)[-TAIL_BYTES:]
        return LogExcerpt(
            head=bytes(self._head).decode("utf-8", "replace"),
            tail=tail.decode("utf-8", "replace"),
            total_bytes=self.total_bytes,
            dropped_bytes=self.total_bytes - len(self._head) - len(tail),
        )
