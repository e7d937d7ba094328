"""The relay: the time that bytes take through it, what they are afterwards, and how it fails when it is told to."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edgepress.errors import EdgepressError
from edgepress.hardware.child import module_command, module_environment
from edgepress.hardware.link import Link
from edgepress.hardware.relay_process import RelayProcess, relay_process

FAST = Link(1e9)


@contextlib.contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Its address; each connection is served in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def one(taken: socket.socket) -> None:
            with taken, contextlib.suppress(OSError):
                serve(taken)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=[listening.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def echo(taken: socket.socket) -> None:
    """Give back what comes, until the other end has nothing more to say."""
    while data := taken.recv(1 << 16):
        taken.sendall(data)


def count(taken: socket.socket) -> None:
    """Answer one byte for every message, which begins with its length in four bytes."""
    while size := taken.recv(4, socket.MSG_WAITALL):
        taken.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        taken.sendall(b"!")


@pytest.fixture
def counting() -> Iterator[str]:
    with server(count) as address:
        yield address


@pytest.fixture
def echoing() -> Iterator[str]:
    with server(echo) as address:
        yield address


def connected(relay: RelayProcess) -> socket.socket:
    host, port = relay.address.rsplit(":", 1)
    found = socket.create_connection((host, int(port)), timeout=20)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def exchange(through: socket.socket, size: int) -> float:
    """Seconds of a message of so many bytes in all, and its answer of one."""
    start = time.perf_counter()
    through.sendall((size - 4).to_bytes(4, "big") + os.urandom(size - 4))
    assert through.recv(1) == b"!"
    return time.perf_counter() - start


def best(run: Callable[[], float], enough: float, tries: int = 25) -> float:
    """The least of a few runs, up to one that is ``enough``: who else has the processor just then only delays."""
    found = run()
    while found > enough and (tries := tries - 1):
        found = min(found, run())
    return found


@pytest.mark.parametrize(
    ("link", "size"),
    [(Link(1e5), 3000), (Link(1e6, 0.02), 3000), (Link(1e7, 0.02), 60_000), (Link(1e8, 0.05), 400_000)],
)
def test_a_body_takes_the_time_of_the_formula(counting: str, link: Link, size: int) -> None:
    with relay_process(link, counting) as relay, connected(relay) as through:
        exchange(through, 5)  # after which the handshake is over
        ratio = best(lambda: exchange(through, size) / link.exchange_s(size, 1), 1.2)
    assert 0.99 < ratio < 1.2


def test_a_new_connection_costs_a_round_trip(counting: str) -> None:
    with relay_process(Link(1e8, 0.1), counting) as relay:

        def anew() -> float:
            with connected(relay) as through:
                return exchange(through, 5)

        assert 0.199 < best(anew, 0.24) < 0.24
        with connected(relay) as through:
            exchange(through, 5)
            assert 0.099 < best(lambda: exchange(through, 5), 0.12) < 0.12


def test_connections_share_the_rate(counting: str) -> None:
    link, size = Link(1e6), 10_000
    with relay_process(link, counting) as relay, contextlib.ExitStack() as stack:
        ends = [stack.enter_context(connected(relay)) for _ in range(4)]
        for end in ends:
            exchange(end, 5)
        firsts: list[float] = []

        def all_at_once() -> float:
            took: list[float] = []
            threads = [
                threading.Thread(target=lambda end=end: took.append(exchange(end, size))) for end in ends
            ]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            firsts.append(min(took))
            return (time.perf_counter() - start) / link.carry_s(4 * size)

        assert 0.99 < best(all_at_once, 1.25) < 1.25
    assert max(firsts) > 2.5 * link.carry_s(size)  # they take turns: none goes first and whole


def test_a_small_message_does_not_wait_for_a_large_one(counting: str) -> None:
    link = Link(1e6)
    with relay_process(link, counting) as relay, connected(relay) as large, connected(relay) as small:
        exchange(large, 5), exchange(small, 5)
        thread = threading.Thread(target=exchange, args=[large, 60_000])
        thread.start()
        time.sleep(0.1)
        took = exchange(small, 100)
        thread.join()
    assert took < link.carry_s(60_000) / 4


@pytest.mark.parametrize("link", [FAST, Link(2e7, 0.01)])
def test_bytes_are_unchanged_and_so_is_the_end(echoing: str, link: Link) -> None:
    generator = random.Random(0)
    with relay_process(link, echoing) as relay, connected(relay) as through:
        sent = generator.randbytes(200_000)

        def send() -> None:
            for start in range(0, len(sent), 7001):
                through.sendall(sent[start : start + 7001])
            through.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        found = b"".join(iter(lambda: through.recv(1 << 16), b""))
        thread.join()
    assert found == sent


def test_a_sender_is_held_back_where_nobody_reads(counting: str) -> None:
    """Memory stays bounded: a relay that took all at once would take 64 MB here."""
    with (
        server(lambda taken: time.sleep(30)) as deaf,
        relay_process(FAST, deaf) as relay,
        connected(relay) as end,
    ):
        end.setblocking(False)
        taken, until = 0, time.monotonic() + 2
        while time.monotonic() < until and taken < 64 << 20:
            try:
                taken += end.send(bytes(1 << 20))
            except BlockingIOError:
                time.sleep(0.05)
    assert taken < 48 << 20


def test_it_can_be_down_and_up_again(echoing: str) -> None:
    with relay_process(FAST, echoing) as relay:
        with connected(relay) as through:
            through.sendall(b"a")
            assert through.recv(1) == b"a"
            relay.say("down")
            with pytest.raises(ConnectionResetError):
                through.recv(1)
        with pytest.raises(ConnectionError), connected(relay) as refused:
            refused.sendall(b"a")
            if not refused.recv(1):
                raise ConnectionError
        relay.say("up")
        with connected(relay) as through:
            through.sendall(b"b")
            assert through.recv(1) == b"b"


def test_a_silent_link_keeps_what_is_sent(echoing: str) -> None:
    with relay_process(FAST, echoing) as relay, connected(relay) as through:
        relay.say("silent")
        through.sendall(b"a")
        through.settimeout(0.2)
        with pytest.raises(TimeoutError):
            through.recv(1)
        relay.say("up")
        through.settimeout(20)
        assert through.recv(1) == b"a"


def test_it_becomes_another_link(counting: str) -> None:
    with relay_process(Link(1e5), counting) as relay, connected(relay) as through:
        assert exchange(through, 2500) > 0.19
        relay.set_link(Link(1e6))
        assert best(lambda: exchange(through, 2500), 0.1) < 0.1


def test_it_cuts_the_share_of_connections_that_it_is_told_to(echoing: str) -> None:
    def survives(relay: RelayProcess) -> bool:
        with connected(relay) as through:
            try:
                for _ in range(5):
                    through.sendall(bytes(1000))
                    if len(through.recv(1000, socket.MSG_WAITALL)) < 1000:
                        return False
            except ConnectionError:
                return False
        return True

    with relay_process(FAST, echoing, drop=0.5, seed=3) as relay:
        alive = sum(survives(relay) for _ in range(60))
        assert 15 <= alive <= 45
        relay.say("drop 1")
        assert not any(survives(relay) for _ in range(5))
        relay.say("drop 0")
        assert all(survives(relay) for _ in range(5))


def test_a_server_that_is_not_there_resets_and_does_not_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    with (
        relay_process(FAST, address) as relay,
        connected(relay) as through,
        pytest.raises(ConnectionResetError),
    ):
        through.recv(1)


def test_words_that_it_does_not_know_do_not_end_it(echoing: str) -> None:
    with relay_process(FAST, echoing) as relay:
        for word, said in (
            ("sleep", "'sleep' is no word of the relay"),
            ("link 3", "is no rate"),
            ("drop 2", "no share"),
        ):
            with pytest.raises(EdgepressError, match=said):
                relay.say(word)
        with connected(relay) as through:
            through.sendall(b"a")
            assert through.recv(1) == b"a"


def test_a_wrong_command_line_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for words, code, said in (
            (
                ["--to", "nowhere", "--link", "1mbit"],
                2,
                "'nowhere' is no address; write it like 127.0.0.1:8080",
            ),
            (["--to", "a:1", "--link", "quick"], 2, "'quick' is no rate of a link"),
            (["--to", "a:1", "--link", "1mbit", "--drop", "x"], 2, "'x' is no share"),
            (["--to", "a:1", "--link", "1mbit", "--listen", address], 1, f"cannot listen on {address}"),
        ):
            ended = subprocess.run(
                module_command("edgepress.hardware.relay", *words), capture_output=True, text=True, timeout=60,
                check=False, env=module_environment(),
            )  # fmt: skip
            assert (ended.returncode, ended.stdout) == (code, "")
            assert said in ended.stderr and "Traceback" not in ended.stderr


def test_it_ends_with_the_one_that_steers_it_and_without_a_word(echoing: str) -> None:
    command = module_command("edgepress.hardware.relay", "--to", echoing, "--link", "1mbit", "--control")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=module_environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None and process.stderr is not None
        ready, _, address = process.stdout.readline().strip().partition(" ")
        assert ready == "ready"
        with connected(RelayProcess(process, address)) as through:
            through.sendall(b"a")
            assert through.recv(1) == b"a"
            process.stdin.close()
            assert process.wait(20) == 0
        assert process.stderr.read() == ""
