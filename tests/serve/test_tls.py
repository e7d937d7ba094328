"""TLS with a certificate that is made on the spot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import edgepress
from edgepress.errors import NoAnswerError, UsageError
from edgepress.runtimes.split_client import SplitClient
from edgepress.runtimes.split_session import SplitSession
from tests.serve.running import Running, ask, connect, post, running

SECRET = "another-long-token"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs."""
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(
    halves: Path, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server with a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    with running(halves, "--certificate", chain, "--key", key, "--workers", 1, token=SECRET) as server:
        yield server


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's own certificate."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_an_answer_through_tls(
    secure: Running, pem: Path, halves: Path, photo: Path, here: SplitSession
) -> None:
    assert secure.url.startswith("https://")
    with edgepress.load(halves, server=secure.url, token=SECRET, authority=pem, fallback=False) as session:
        for _ in range(3):
            found = session.run(photo)
            assert found.where == "server"
            assert found.labels == here.run(photo).labels
    assert len({line["peer"] for line in secure.lines if line.get("status") == "200"}) == 1


def test_who_signed_must_be_trusted(secure: Running, stream: bytes, tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match="--authority"):
        SplitClient(secure.url, SECRET, 30).answer(stream)
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(NoAnswerError, match="not trusted"):
        SplitClient(secure.url, SECRET, 30, other).answer(stream)
    with pytest.raises(UsageError, match="PEM"):
        SplitClient(secure.url, SECRET, 30, tmp_path / "missing.pem")
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(UsageError, match="PEM"):
        SplitClient(secure.url, SECRET, 30, tmp_path / "junk.pem")


def test_the_name_must_be_that_of_the_certificate(secure: Running, stream: bytes, pem: Path) -> None:
    with pytest.raises(NoAnswerError, match="not trusted"):
        SplitClient(f"https://localhost:{secure.port}", SECRET, 30, pem).answer(stream)


def test_plain_http_and_junk_do_no_harm(secure: Running, stream: bytes, pem: Path) -> None:
    assert ask(secure.port, post(stream)).status == 0
    for junk in (b"\x16\x03\x01", b"\x00" * 1000, b""):
        with connect(secure.port) as sock:
            sock.sendall(junk)
    with contextlib.closing(SplitClient(secure.url, SECRET, 30, pem)) as client:
        assert client.answer(stream).labels
