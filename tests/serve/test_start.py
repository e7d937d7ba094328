"""What a server refuses before it listens, each with one sentence and its exit code."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgepress.coding.split import DEVICE
from tests.bundles import model, write_plain
from tests.cli.conftest import Command, edgepress
from tests.serve.running import ROOT
from tests.splits import write_split

__all__ = ["edgepress"]  # the fixture


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", ":8080x", "8080", "127.0.0.1:", "127.0.0.1:70000",
                                     "::1:80", "no.such.host.invalid:80", "203.0.113.1:80"])  # fmt: skip
def test_addresses(edgepress: Command, whole: Path, address: str) -> None:
    ended = edgepress("serve", whole, "--listen", address)
    assert ended.code == 2
    assert ended.out == ""
    assert address in ended.err
    assert len(ended.err.splitlines()) == 1


def test_others_are_let_in_by_a_token_or_by_open(edgepress: Command, whole: Path) -> None:
    assert "--open" in edgepress("serve", whole, "--listen", "0.0.0.0:0").err


def test_a_port_in_use(edgepress: Command, whole: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = edgepress("serve", whole, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.code == 2
    assert "another" in ended.err


def test_tokens(edgepress: Command, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = edgepress("serve", whole, "--token-file", tmp_path / "none")
    assert (missing.code, "none" in missing.err) == (2, True)
    for text in ("", "short", "with space inside", "ümlaut-in-a-token", "x" * 5000):
        (tmp_path / "token").write_text(text)
        ended = edgepress("serve", whole, "--token-file", tmp_path / "token")
        assert ended.code == 2
        assert not text or text not in ended.err
    monkeypatch.setenv("EDGEPRESS_TOKEN", "short")
    assert "EDGEPRESS_TOKEN" in edgepress("serve", whole).err


def test_tls_needs_both_and_they_must_be_such(edgepress: Command, whole: Path, photo: Path) -> None:
    assert "--key" in edgepress("serve", whole, "--certificate", photo).err
    ended = edgepress("serve", whole, "--certificate", photo, "--key", photo)
    assert ended.code == 2
    assert "PEM" in ended.err
    assert edgepress("serve", whole, "--certificate", "/no", "--key", "/no").code == 2


def test_bundles_that_have_no_answers(edgepress: Command, whole: Path, tmp_path: Path) -> None:
    from onnx import helper

    from edgepress.tensor import TensorSpec

    device = edgepress("serve", write_split(tmp_path / "device.edge", (DEVICE,)), "--listen", "127.0.0.1:0")
    assert device.code == 2
    assert "server" in device.err
    pair = (TensorSpec("a", (2, 3)), TensorSpec("b", (2, 3)))
    made = model([helper.make_node("Add", ["a", "b"], ["c"])], list(pair), [TensorSpec("c", (2, 3))])
    write_plain(tmp_path / "pair.edge", made, pair, (TensorSpec("c", (2, 3)),))
    two = edgepress("serve", tmp_path / "pair.edge", "--listen", "127.0.0.1:0")
    assert two.code == 2
    assert "2 inputs" in two.err
    (tmp_path / "no.edge").write_bytes(b"no bundle")
    assert edgepress("serve", tmp_path / "no.edge", "--listen", "127.0.0.1:0").code == 8
    assert edgepress("serve", whole, "--part", "nothing", "--listen", "127.0.0.1:0").code == 2


@pytest.mark.parametrize("option", ["--largest", "--held", "--body-time", "--request-time", "--quiet-time"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_limits_that_are_none(edgepress: Command, whole: Path, option: str, value: str) -> None:
    assert edgepress("serve", whole, option, value).code == 2


def test_one_body_may_not_be_larger_than_all(edgepress: Command, whole: Path) -> None:
    assert "all" in edgepress("serve", whole, "--largest", "20", "--held", "10").err


def test_without_the_extra_one_sentence_says_what_to_install(whole: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; from edgepress.cli.main import main; "
        "main(['serve', sys.argv[1], '--listen', '127.0.0.1:0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, whole],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 10
    assert "edgepress[serve]" in done.stderr


def test_help_needs_no_extra(edgepress: Command) -> None:
    shown = edgepress("serve", "--help")
    assert shown.code == 0
    for word in ("/v1/answer", "/health", "/metrics", "Retry-After", "EDGEPRESS_TOKEN", "409"):
        assert word in shown.out
