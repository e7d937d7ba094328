"""A TCP relay that makes a connection as slow as a link: ``python -m edgepress.hardware.relay``.

A direction of the link is a queue: what arrives at ``t`` begins when the direction is free, takes ``8 · bytes / rate``,
and is there half a round trip later. Connections take turns, a packet's worth at a time, so they share the rate. A new
connection costs one round trip, as TCP's handshake does. Not modelled: headers of packets (3 to 4 % of full ones),
losses, and TCP's slow start (a first flight has about 14 KB).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Sequence

from edgepress.errors import EdgepressError, UsageError
from edgepress.hardware.lane import Flow, Lane
from edgepress.hardware.link import Link, parse_link

_CUT_WITHIN = 8192  # a connection that is to be cut lives for fewer bytes than that
_RESET = struct.pack("ii", 1, 0)  # a connection that is closed so sends a reset, and no orderly end


class Relay:
    """The relay of one server.

    Attributes:
        link: as it is now; may be set while connections are open.
        drop: the share of new connections that are cut after some bytes, from 0 to 1.
        refuses: whether new connections are reset at once.
    """

    def __init__(self, link: Link, host: str, port: int, drop: float = 0.0, seed: int = 0) -> None:
        self.link, self.drop, self.refuses = link, drop, False
        self._host, self._port = host, port
        self._random = random.Random(seed)
        self._lanes = (Lane(lambda: self.link), Lane(lambda: self.link))
        self._writers: set[asyncio.StreamWriter] = set()
        self._work: list[asyncio.Task[None]] = []  # kept, or they could be collected while they run

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Begin to take connections.

        Raises:
            OSError: the address cannot be had.
        """
        server = await asyncio.start_server(self._connected, host, port)
        self._work = [asyncio.create_task(lane.carry()) for lane in self._lanes]
        return server

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            _reset(writer)

    def down(self) -> None:
        """Reset every connection, and those that come."""
        self.refuses = True
        self.cut()

    def silent(self) -> None:
        """Carry nothing more, as where a radio is out of reach: connections stay open and wait."""
        for lane in self._lanes:
            lane.open.clear()

    def up(self) -> None:
        """Carry again."""
        self.refuses = False
        for lane in self._lanes:
            lane.open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            asyncio.CancelledError
        ):  # the relay ends, and asyncio would report every connection
            await self._relay(reader, writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begins = asyncio.get_running_loop().time() + self.link.delay_s
        lives = self._random.randrange(1, _CUT_WITHIN) if self._random.random() < self.drop else None
        try:
            if self.refuses:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            _reset(writer)
            return
        ends = (writer, far_writer)
        self._writers.update(ends)
        passed = _Life(lives, ends).passed
        flows = (
            Flow(self._lanes[0], reader, far_writer, begins, passed),
            Flow(self._lanes[1], far_reader, writer, 0.0, passed),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for work in (work for flow in flows for work in (flow.read(), flow.write())):
                    group.create_task(work)
        except* OSError:
            for end in ends:  # one of them is gone
                _reset(end)
        finally:
            self._writers.difference_update(ends)
            for end in ends:
                end.close()


class _Life:
    """How many bytes a connection still carries before it is cut; None: as many as come."""

    def __init__(self, left: int | None, ends: Sequence[asyncio.StreamWriter]) -> None:
        self._left, self._ends = left, ends

    def passed(self, size: int) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left <= 0:
            for end in self._ends:
                _reset(end)


def _reset(writer: asyncio.StreamWriter) -> None:
    end = writer.get_extra_info("socket")
    if end is not None and not writer.transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def obey(relay: Relay, line: str) -> None:
    """Do what a line says: ``down``, ``silent``, ``up``, ``cut``, ``link 1mbit,20ms`` or ``drop 0.1``.

    Raises:
        UsageError: it says nothing of that.
    """
    word, _, rest = line.strip().partition(" ")
    plain: dict[str, Callable[[], None]] = {
        "cut": relay.cut, "down": relay.down, "silent": relay.silent, "up": relay.up,
    }  # fmt: skip
    if word in plain and not rest:
        plain[word]()
    elif word == "link":
        relay.link = parse_link(rest)
    elif word == "drop":
        relay.drop = a_share(rest)
    else:
        words = ", ".join(plain)
        raise UsageError(f"{line.strip()[:80]!r} is no word of the relay; say {words}, link … or drop …")


def a_share(text: str) -> float:
    """A figure from 0 to 1.

    Raises:
        UsageError: it is none.
    """
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"{text[:80]!r} is no share; give a figure from 0 to 1")
    return share


def an_address(text: str) -> tuple[str, int]:
    """``127.0.0.1:8080``.

    Raises:
        UsageError: it is written differently.
    """
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"{text[:80]!r} is no address; write it like 127.0.0.1:8080")
    return host.strip("[]"), int(port)


async def run(relay: Relay, listen: tuple[str, int], controlled: bool) -> None:
    """Listen, say where in a line ``ready HOST:PORT``, and relay until the end of the standard input or for ever."""
    server = await relay.listen(*listen)
    print("ready {}:{}".format(*server.sockets[0].getsockname()[:2]), flush=True)
    if not controlled:
        await server.serve_forever()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode("utf-8", "replace"):
        try:
            obey(relay, line)
            print("ok", flush=True)
        except UsageError as error:
            print(f"error: {error}", flush=True)


def _loop() -> asyncio.AbstractEventLoop:
    """epoll rounds its waits up to a millisecond, which many short turns would add up; select does not."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the module."""
    parser = argparse.ArgumentParser(
        "python -m edgepress.hardware.relay", description="A link as slow as you say."
    )
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the server")
    parser.add_argument(
        "--link", required=True, metavar="RATE[,DELAY]", help="1mbit,20ms; the delay is a round trip's"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one"
    )
    parser.add_argument(
        "--drop", default="0", metavar="SHARE", help="of connections that are cut after some bytes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of which connections are cut, and when")
    parser.add_argument(
        "--control", action="store_true", help="obey lines of the standard input, and end with it"
    )
    given = parser.parse_args(arguments)
    try:
        relay = Relay(parse_link(given.link), *an_address(given.to), a_share(given.drop), given.seed)
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(run(relay, an_address(given.listen), given.control))
    except EdgepressError as error:
        print(f"edgepress: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"edgepress: error: cannot listen on {given.listen} ({error.strerror}); choose another",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
