"""Sessions and the command with a server, without one, and with one that dies and comes back."""

from __future__ import annotations

import io
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import edgepress
from edgepress.coding.split import DEVICE, LOCAL, SERVER
from edgepress.errors import DataError, NoAnswerError, UsageError
from edgepress.runtimes.served_session import ServedResult
from edgepress.runtimes.split_session import SplitSession
from tests.bundles import picture, pixels
from tests.cli.conftest import Command
from tests.cli.conftest import edgepress as command
from tests.serve.conftest import TOKEN
from tests.serve.odd import GOOD, odd_server, reply
from tests.serve.running import Running, running
from tests.splits import write_split

__all__ = ["command"]  # the fixture


@pytest.fixture
def nowhere() -> str:
    """The address of no server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_server_answers_as_the_whole_would(
    served: Running, halves: Path, photo: Path, here: SplitSession
) -> None:
    with edgepress.load(halves, server=served.url, token=TOKEN) as session:
        for rate in (0, 1, None):
            found, expected = session.run(photo, 3, rate=rate), here.run(photo, 3, rate=rate)
            assert found.labels == expected.labels
            assert (found.where, found.note, found.outputs) == ("server", "", {})
            assert found.sent == len(here.encode(photo, rate))
        second = session.run({"image": pixels(1)}, head="second")
        assert second.labels == here.run(photo, head="second").labels
        tensor = session.run(io.BytesIO(photo.read_bytes()), tensor=True)
        np.testing.assert_array_equal(tensor.outputs["scores"], here.run(photo).outputs["scores"])
    with pytest.raises(UsageError, match="token"), edgepress.load(halves, server=served.url) as session:
        session.run(photo)


def test_the_device_part_is_enough(served: Running, photo: Path, here: SplitSession, tmp_path: Path) -> None:
    device = write_split(tmp_path / "device.edge", (DEVICE,), split=here.split)
    with edgepress.load(device, server=served.url, token=TOKEN) as session:
        assert session.run(photo).labels == here.run(photo).labels


@pytest.mark.parametrize(
    ("parts", "where"),
    [((DEVICE, SERVER, LOCAL), LOCAL), ((DEVICE, LOCAL), LOCAL), ((DEVICE, SERVER), "device")],
)
def test_without_a_server_the_bundle_answers_and_says_so(
    nowhere: str, photo: Path, tmp_path: Path, parts: tuple[str, ...], where: str
) -> None:
    bundle = write_split(tmp_path / "some.edge", parts)
    with edgepress.load(bundle, server=nowhere, timeout=60) as session:
        found = session.run(photo)
        assert (found.where, found.sent > 0) == (where, True)
        assert "cannot be reached" in found.note
        again = session.run(io.BytesIO(photo.read_bytes()))
        assert (again.where, again.sent) == (where, 0)
        assert "not asked" in again.note
    with edgepress.load(bundle) as whole:
        assert isinstance(whole, SplitSession)
        expected = whole.network(LOCAL).run(photo) if where == LOCAL else whole.run(photo)
    assert found.labels == again.labels == expected.labels
    np.testing.assert_array_equal(found.outputs["scores"], expected.outputs["scores"])


def test_where_nothing_here_can_answer_it_is_an_error(nowhere: str, photo: Path, tmp_path: Path) -> None:
    bundle = write_split(tmp_path / "device.edge", (DEVICE,))
    with (
        edgepress.load(bundle, server=nowhere, timeout=0.2) as session,
        pytest.raises(NoAnswerError) as raised,
    ):
        session.run(photo)
    assert raised.value.exit_code == 12
    local = write_split(tmp_path / "local.edge", (DEVICE, LOCAL))
    with (
        edgepress.load(local, server=nowhere, timeout=0.2, fallback=False) as session,
        pytest.raises(NoAnswerError),
    ):
        session.run(photo)
    with edgepress.load(local, server=nowhere, timeout=0.2) as session, pytest.raises(NoAnswerError):
        session.run(photo, head="second")  # which ``local`` does not stand for


def test_a_fault_of_the_question_is_no_reason_to_answer_here(
    served: Running, others: Path, halves: Path, photo: Path
) -> None:
    with (
        edgepress.load(others, server=served.url, token=TOKEN) as session,
        pytest.raises(DataError, match="student"),
    ):
        session.run(photo)
    with edgepress.load(halves, server=served.url, token=TOKEN) as session:
        with pytest.raises(DataError, match="picture"):
            session.run(b"no picture")
        assert session.run(photo).where == "server"


def test_any_other_bundle_sends_its_file(
    served_whole: Running, whole: Path, photo: Path, nowhere: str
) -> None:
    with edgepress.load(whole) as session:
        expected = session.run(photo)
    with edgepress.load(whole, server=served_whole.url) as served:
        found = served.run(photo)
        assert (found.where, found.labels) == ("server", expected.labels)
        assert found.sent == photo.stat().st_size
        with pytest.raises(DataError, match="array"):
            served.run(pixels(1))
    with edgepress.load(whole, server=nowhere) as served:
        found = served.run(photo)
        assert (found.where, found.labels) == ("device", expected.labels)


def test_a_server_that_is_killed_loses_no_request_silently(
    halves: Path, photo: Path, here: SplitSession
) -> None:
    """Clients ask while it dies and comes back on the same port; each question ends: with the right answer."""
    expected = here.run(photo).labels
    server = Running(halves, "--workers", 1)
    answers: list[ServedResult | Exception] = []
    enough = threading.Event()

    def client() -> None:
        with edgepress.load(halves, server=server.url, timeout=60, fallback=False) as session:
            while not enough.is_set():
                try:
                    answers.append(session.run(photo))
                except NoAnswerError as error:
                    answers.append(error)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    _until(lambda: len(answers) >= 8)
    server.process.kill()
    server.stop()
    count = len(answers)
    with running(halves, "--workers", 1, port=server.port):
        _until(lambda: len(answers) >= count + 8)
        enough.set()
        for thread in threads:
            thread.join()
    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(one, ServedResult) and one.labels == expected for one in answers), answers
    assert any(isinstance(one, ServedResult) and one.tries > 1 for one in answers), "the kill was not noticed"


def _until(holds: object) -> None:
    end = time.monotonic() + 60
    assert callable(holds)
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_command(
    command: Command,
    served: Running,
    halves: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEPRESS_TOKEN", TOKEN)
    picture(tmp_path / "second.png", seed=2)
    ended = command("run", halves, photo, tmp_path / "second.png", "--server", served.url)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("answered by server") == 2
    peers = [line["peer"] for line in served.lines if line.get("status") == "200"][-2:]
    assert peers[0] == peers[1], "each photograph had a connection of its own"
    data = command("run", halves, photo, "--server", served.url, "--rate", 0, "--json").data
    (result,) = data["results"]
    assert (data["server"], result["where"], result["tries"]) == (served.url, "server", 1)
    saved = command("run", halves, photo, "--server", served.url, "--save", tmp_path / "out", "--json").data
    assert np.load(saved["results"][0]["saved"][0]).shape == (1, 10)


def test_the_command_without_an_answer(
    command: Command, nowhere: str, halves: Path, photo: Path, tmp_path: Path
) -> None:
    ended = command("run", halves, photo, "--server", nowhere)
    assert ended.code == 0
    assert "answered by local" in ended.out
    assert "local: " in ended.err and "cannot be reached" in ended.err
    refused = command("run", halves, photo, "--server", nowhere, "--no-fallback", "--timeout", "0.2")
    assert refused.code == 12
    assert "cannot be reached" in refused.err
    for words in (
        ["--timeout", 3],
        ["--token", "x"],
        ["--no-fallback"],
        ["--authority", photo],
        ["--token-file", photo],
    ):
        wrong = command("run", halves, photo, *words)
        assert wrong.code == 2
        assert "--server" in wrong.err
    assert command("run", halves, photo, "--server", "nowhere").code == 2
    assert command("run", halves, photo, "--server", nowhere, "--timeout", "nan").code == 2


def test_answers_beyond_a_busy_server(halves: Path, photo: Path) -> None:
    busy = reply(503, {"error": "busy"}, "Retry-After: 3600")
    with (
        odd_server(busy, reply(200, GOOD)) as odd,
        edgepress.load(halves, server=odd.url, timeout=60) as session,
    ):
        found = session.run(photo)
        assert (found.where, "busy" in found.note) == (LOCAL, True)
