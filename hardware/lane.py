"""One direction of a link that connections share: when each of their bytes would arrive.

Arrival times are computed, not slept: a timer that comes late delays the delivery of some bytes, never the times of
those that follow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from edgepress.hardware.link import Link

_PACKET = 1460  # bytes that a full packet carries
_SHORTEST = (
    1e-3  # seconds that a turn takes at least where there is more to send: what the loop can keep up with
)
_BUFFER = 1 << 16  # bytes that wait for a direction before the sender is held back, as a system's buffers do


class Lane:
    """One direction of the link, which all connections share.

    Args:
        link: gives the link as it is now.

    Attributes:
        open: whether anything moves.
    """

    def __init__(self, link: Callable[[], Link]) -> None:
        self._link = link
        self._free = 0.0
        self._waiting: deque[Flow] = deque()
        self._wake = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    @property
    def holds(self) -> int:
        """Bytes of one connection that the direction takes before it holds the sender back."""
        link = self._link()
        return _BUFFER + int(link.bits_per_s / 8 * link.one_way_s)

    def add(self, flow: Flow) -> None:
        """A flow that has something to send; it stands in the queue once."""
        if flow not in self._waiting:
            self._waiting.append(flow)
            self._wake.set()

    async def carry(self) -> None:
        """Give the waiting flows their turns, for ever."""
        now = asyncio.get_running_loop().time
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
                continue
            if not self.open.is_set():
                await self.open.wait()
                self._free = now()
            if self._free > now():  # those who come meanwhile get their turn, too
                await asyncio.sleep(self._free - now())
            link, flow = self._link(), self._waiting.popleft()
            arrived, size = flow.take(max(_PACKET, int(link.bits_per_s / 8 * _SHORTEST)))
            self._free = max(self._free, arrived) + 8 * size / link.bits_per_s
            flow.deliver(self._free + link.one_way_s)
            if flow.waits:
                self._waiting.append(flow)


class Flow:
    """What one connection sends in one direction.

    Args:
        lane: the direction.
        reader, writer: where bytes come from and where they go.
        begins: nothing is sent before this time of the loop: the handshake.
        passed: told of the bytes that were delivered.
    """

    def __init__(
        self,
        lane: Lane,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        begins: float,
        passed: Callable[[int], None],
    ) -> None:
        self._lane, self._reader, self._writer = lane, reader, writer
        self._begins, self._passed = begins, passed
        self._held: deque[tuple[float, bytes]] = deque()  # arrived, not yet on the link
        self._taken = b""
        self._sent: deque[tuple[float, bytes]] = deque()  # on the link, with the time of arrival
        self._bytes = 0
        self._room, self._due = asyncio.Event(), asyncio.Event()
        self._ended = False

    @property
    def waits(self) -> bool:
        """Whether something waits for the link."""
        return bool(self._held)

    def take(self, most: int) -> tuple[float, int]:
        """Put at most ``most`` of the waiting bytes on the link: when they arrived, and how many they are."""
        arrived, data = self._held.popleft()
        self._taken, rest = data[:most], data[most:]
        if rest:
            self._held.appendleft((arrived, rest))
        return arrived, len(self._taken)

    def deliver(self, when: float) -> None:
        """What was taken last arrives at that time; nothing at all is the end."""
        self._sent.append((when, self._taken))
        self._due.set()

    async def read(self) -> None:
        """Take bytes in as they arrive, as long as there is room for them."""
        now = asyncio.get_running_loop().time
        while not self._ended:
            data = await self._reader.read(_BUFFER)
            self._ended = not data
            self._bytes += len(data)
            if self._begins > now():
                await asyncio.sleep(self._begins - now())
            self._held.append((now(), data))
            self._lane.add(self)
            # Bytes on the link count, too: who does not read is not sent more.
            while self._bytes >= self._lane.holds:
                self._room.clear()
                await self._room.wait()

    async def write(self) -> None:
        """Hand on what is due, until the end has been handed on."""
        now = asyncio.get_running_loop().time
        while True:
            self._due.clear()
            if not self._sent:
                await self._due.wait()
                continue
            when, data = self._sent[0]
            if when > now():
                await asyncio.sleep(when - now())
            await self._lane.open.wait()
            self._sent.popleft()
            if not data:
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                return
            self._writer.write(data)
            await self._writer.drain()
            self._bytes -= len(data)
            self._room.set()
            self._passed(len(data))
