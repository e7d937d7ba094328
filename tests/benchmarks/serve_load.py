"""A crowd against ``edgepress serve``: good clients, and every kind of bad one, all at once.

::

    python -m tests.benchmarks.serve_load [BUNDLE] [--seconds 60] [--clients 200] [--workers N]

The server is a process of its own and the clients are sockets. Each good question is answered once and as this process
answers it, or refused with 503 and Retry-After; each bad one gets a 4xx with a reason; memory is looked at all the
while; and at the end the server still answers. BUNDLE is a split network's; without one a small one is made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import edgepress
from edgepress.cli.table import columns
from edgepress.coding.split import Split
from edgepress.runtimes.split_session import SplitSession
from tests.serve.running import Running, chunked, post
from tests.splits import write_split

TOKEN = "a-token-for-the-crowd"
PASS = f"Authorization: Bearer {TOKEN}"
LARGEST_MIB = 0.25
BODY_S = 2.0
_PATIENCE_S = 60.0
_PICTURES = 24
# Of a hundred clients; the others are good ones.
SHARES = {"leaves": 8, "half": 6, "token": 5, "large": 5, "mutated": 6, "foreign": 5, "slow": 3, "junk": 2}


@dataclass(frozen=True)
class Bodies:
    """What is sent, and what must come back.

    Attributes:
        good: streams, each with the classes that this process gives for it.
        foreign: streams of another student.
    """

    good: list[tuple[bytes, list[tuple[int, float]]]]
    foreign: list[bytes]


@dataclass
class Tally:
    """What became of the questions.

    Attributes:
        counts: by kind of client and outcome.
        seconds: of each good answer.
        wrong: what should not have been, in words.
        answered: numbers of the good questions that were answered.
        memory: bytes of the server's resident memory over time.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def expect(self, kind: str, status: int, body: bytes, allowed: Sequence[int]) -> None:
        """Count a refusal, which must have one of these statuses and a reason."""
        self.counts[kind, str(status or "ended")] += 1
        try:
            reason = json.loads(body)["error"] if status else ""
        except (ValueError, KeyError):
            reason = ""
        if status not in allowed or (status and not reason):
            self.wrong.append(f"{kind}: status {status}, {body[:200]!r}")

    def percentile(self, share: float) -> float:
        """Seconds within which so many of the good answers came."""
        return float(np.quantile(self.seconds, share)) if self.seconds else math.nan


class Client:
    """One of the crowd, with a connection that it keeps for as long as it can."""

    def __init__(self, port: int, kind: str, bodies: Bodies, tally: Tally, seed: int) -> None:
        self.port, self.kind, self.bodies, self.tally = port, kind, bodies, tally
        self.random = random.Random(seed)
        self.number = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def live(self, end: float) -> None:
        """Ask until then."""
        conduct: Callable[[], Awaitable[None]] = getattr(self, f"_{self.kind}")
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await conduct()
            except TimeoutError:
                self.tally.wrong.append(f"{self.kind}: nothing came for {_PATIENCE_S:g} s")
                self._leave()
        self._leave()

    async def _good(self) -> None:
        body, expected = self.random.choice(self.bodies.good)
        self.number += 1
        number = f"{id(self):x}-{self.number}"
        begun = time.monotonic()
        status, headers, data = await self._ask(post(body, PASS, f"X-Request-Id: {number}"))
        if status == 200:
            self.tally.seconds.append(time.monotonic() - begun)
            self.tally.answered.append(number)
            self.tally.counts["good", "200"] += 1
            answer = json.loads(data)
            found = [(one["index"], one["score"]) for one in answer["labels"]]
            if found != expected or answer["id"] != number or headers["x-request-id"] != number:
                self.tally.wrong.append(f"good: {number} was answered with {data[:300]!r}")
            return
        self.tally.expect("good", status, data, (503,))
        if not headers.get("retry-after", "").isdigit():
            self.tally.wrong.append(f"good: status {status} without Retry-After")
            return
        await asyncio.sleep(int(headers["retry-after"]) * self.random.uniform(0.2, 1))  # some come too early

    async def _leaves(self) -> None:
        body, _ = self.random.choice(self.bodies.good)
        _, writer = await self._connection()
        await self._send(writer, post(body, PASS))
        await asyncio.sleep(self.random.uniform(0, 0.2))
        self._leave()
        self.tally.counts["leaves", "left"] += 1

    async def _half(self) -> None:
        body, _ = self.random.choice(self.bodies.good)
        _, writer = await self._connection()
        request = post(body, PASS)
        await self._send(writer, request[: self.random.randrange(1, len(request))])
        await asyncio.sleep(self.random.uniform(0, 0.2))
        self._leave()
        self.tally.counts["half", "left"] += 1

    async def _token(self) -> None:
        body, _ = self.random.choice(self.bodies.good)
        status, _, data = await self._ask(post(body, f"Authorization: Bearer {TOKEN[:-1]}x"))
        self.tally.expect("token", status, data, (401,))

    async def _large(self) -> None:
        size = int(LARGEST_MIB * (1 << 20)) + self.random.randrange(1, 1 << 16)
        request = post(bytes(size), PASS) if self.random.random() < 0.5 else chunked([bytes(size)], PASS)
        status, _, data = await self._ask(request)
        self.tally.expect("large", status, data, (413, 408))  # chunks may come late as well

    async def _mutated(self) -> None:
        body, _ = self.random.choice(self.bodies.good)
        made = bytearray(body)
        for _ in range(self.random.randrange(1, 4)):
            made[self.random.randrange(len(made))] ^= self.random.randrange(1, 256)
        if self.random.random() < 0.3:
            del made[self.random.randrange(len(made)) :]
        status, _, data = await self._ask(post(bytes(made), PASS))
        if bytes(made) != body:  # one change may undo another
            # What no header tells is found by a worker, for which it may have to wait; the identity may be hit.
            self.tally.expect("mutated", status, data, (400, 409, 503))

    async def _foreign(self) -> None:
        status, _, data = await self._ask(post(self.random.choice(self.bodies.foreign), PASS))
        self.tally.expect("foreign", status, data, (409,))

    async def _slow(self) -> None:
        body, _ = self.random.choice(self.bodies.good)
        reader, writer = await self._connection()
        await self._send(writer, post(body[:4], PASS, length=len(body)))
        reading = asyncio.create_task(self._read(reader))
        for sign in body[4:-1]:
            if reading.done():
                break
            await asyncio.sleep(BODY_S / 8)
            await self._send(writer, bytes([sign]))
        status, _, data = await reading
        self._leave()
        self.tally.expect("slow", status, data, (408,))

    async def _junk(self) -> None:
        made = self.random.randbytes(self.random.randrange(1, 400)).replace(b"\n", b"") + b"\r\n\r\n"
        status, _, data = await self._ask(made)
        self._leave()
        self.tally.expect("junk", status, data, (400, 0))

    async def _ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """One exchange; again where a connection that was kept had been closed meanwhile."""
        while True:
            fresh = self._streams is None
            reader, writer = await self._connection()
            await self._send(writer, request)
            status, headers, data = await self._read(reader)
            if status == 0 or headers.get("connection") == "close":
                self._leave()
            if status or fresh:
                return status, headers, data

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self._streams

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        try:
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            return  # a refusal may be there already

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
            return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers["content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, {}, b""

    def _leave(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def make_bodies(bundle: Path, other: Path, pictures: int = _PICTURES) -> Bodies:
    """Streams of random pictures, and what this process answers for each."""
    generator = np.random.default_rng(0)
    with edgepress.load(bundle) as session, edgepress.load(other) as stranger:
        assert isinstance(session, SplitSession)
        assert isinstance(stranger, SplitSession)
        good, split = [], session.split
        for _ in range(pictures):
            rate = int(generator.integers(len(split.rates)))
            stream = session.encode(_picture(split, generator), rate)
            labels = session.answer(stream).labels
            good.append((stream, [(one.index, one.probability) for one in labels]))
        foreign = [stranger.encode(_picture(stranger.split, generator)) for _ in range(4)]
    return Bodies(good, foreign)


def _picture(split: Split, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    rough = generator.standard_normal((1, *split.shape)).astype(np.float32)
    return np.clip(rough.cumsum(2).cumsum(3) / 50, -1, 1)


async def crowd(server: Running, bodies: Bodies, clients: int, seconds: float) -> Tally:
    """Let so many clients ask for so long.

    Returns:
        What became of it; ``wrong`` is empty where all was as it should be.
    """
    tally = Tally()
    kinds = [kind for kind, share in SHARES.items() for _ in range(max(1, share * clients // 100))]
    kinds += ["good"] * (clients - len(kinds))
    end = time.monotonic() + seconds
    watching = asyncio.create_task(_watch(server, tally))
    await asyncio.gather(
        *(Client(server.port, kind, bodies, tally, seed).live(end) for seed, kind in enumerate(kinds))
    )
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    _check_log(server, tally)
    return tally


async def _watch(server: Running, tally: Tally) -> None:
    while True:
        figures = await asyncio.to_thread(server.metrics, TOKEN)
        tally.memory.append(figures["process_resident_memory_bytes"])
        await asyncio.sleep(0.5)


def _check_log(server: Running, tally: Tally) -> None:
    """Each number that was answered stands in the log as answered, once."""
    end = time.monotonic() + _PATIENCE_S
    wanted = set(tally.answered)
    if len(wanted) != len(tally.answered):
        tally.wrong.append("a number was given twice")
    while True:  # the log's reader may be behind
        seen = Counter(
            line["id"] for line in list(server.lines) if line.get("status") == "200" and "id" in line
        )
        if wanted <= set(seen) or time.monotonic() > end:
            break
        time.sleep(0.05)
    tally.wrong += [f"{number} was answered {seen[number]} times" for number in wanted if seen[number] != 1]


def report(tally: Tally, seconds: float) -> str:
    """The table."""
    outcomes = sorted({outcome for _, outcome in tally.counts})
    rows = [["client", *outcomes]]
    for kind in ("good", *SHARES):
        rows.append([kind, *(str(tally.counts[kind, outcome] or "") for outcome in outcomes)])
    answers = len(tally.seconds)
    p50, p95, p99 = (tally.percentile(share) * 1e3 for share in (0.5, 0.95, 0.99))
    memory = [value / (1 << 20) for value in tally.memory]
    lines = [columns(rows, right=range(1, len(rows[0])))]
    lines.append(
        f"good answers {answers} ({answers / seconds:.1f}/s): p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms"
    )
    if memory:
        middle = memory[len(memory) // 2]
        shown = (
            f"first {memory[0]:.0f}, middle {middle:.0f}, most {max(memory):.0f}, last {memory[-1]:.0f} MiB"
        )
        lines.append(f"the server's memory: {shown}")
    lines += [f"WRONG: {one}" for one in tally.wrong[:20]]
    lines.append(f"{len(tally.wrong)} of {sum(tally.counts.values())} outcomes were not as they should be")
    return "\n".join(lines)


def options(workers: int | None, queue: int) -> list[object]:
    """What the server is started with."""
    found: list[object] = [
        "--queue",
        queue,
        "--connections",
        4096,
        "--largest",
        LARGEST_MIB,
        "--body-time",
        BODY_S,
        "--trust",
    ]
    return found + (["--workers", workers] if workers else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the crowd, print the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--queue", type=int, default=64)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgepress-load-") as folder:
        bundle = chosen.bundle or write_split(Path(folder) / "halves.edge")
        bodies = make_bodies(bundle, write_split(Path(folder) / "others.edge", seed=1))
        server = Running(bundle, *options(chosen.workers, chosen.queue), token=TOKEN)
        try:
            tally = asyncio.run(crowd(server, bodies, chosen.clients, chosen.seconds))
            after = asyncio.run(crowd(server, bodies, 1 + len(SHARES), 0.5))  # it goes on serving
        finally:
            code = server.stop()
    tally.wrong += after.wrong
    if code != 0 or not after.seconds:
        tally.wrong.append(f"the server ended with {code}, having answered {len(after.seconds)} afterwards")
    sys.stdout.write(report(tally, chosen.seconds) + "\n")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
