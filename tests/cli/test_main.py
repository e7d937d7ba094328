"""The group: help, near names, exit codes, errors, Ctrl-C, pipes, completion."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from edgepress import errors
from edgepress.cli import main as entry
from edgepress.cli.lazy import Entry
from edgepress.version import __version__
from tests.cli.conftest import Command


def test_version(edgepress: Command) -> None:
    assert edgepress("--version").out.strip() == f"edgepress {__version__}"


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_names_every_command(edgepress: Command, words: tuple[str, ...]) -> None:
    ended = edgepress(*words)
    assert ended.code == 0
    assert all(name in ended.out for name in entry.COMMANDS)


@pytest.mark.parametrize("name", sorted(set(entry.COMMANDS) - {"build", "init"}))
def test_every_command_has_help(edgepress: Command, name: str) -> None:
    ended = edgepress(name, "--help")
    assert ended.code == 0
    assert f"edgepress {name}" in ended.out


def test_an_unknown_command_names_the_near_one(edgepress: Command) -> None:
    ended = edgepress("inspekt", "x")
    assert ended.code == 2
    assert "did you mean 'inspect'?" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_an_unknown_option_is_one_sentence(edgepress: Command) -> None:
    ended = edgepress("run", "--jsn", "x", "y")
    assert ended.code == 2
    assert "--json" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DataError("bad"), 4),
        (errors.TargetError("bad"), 5),
        (errors.StorageError("bad"), 11),
        (errors.MissingExtraError("this", "torch", "build"), 10),
        (OSError(28, "No space left on device"), 11),
        (ValueError("two\nlines"), 1),
        (RecursionError(), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_every_error_is_one_sentence_with_its_code(
    edgepress: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, debug: bool
) -> None:
    @click.command()
    def broken() -> None:
        raise error

    module = sys.modules[__name__]
    monkeypatch.setattr(module, "broken", broken, raising=False)
    monkeypatch.setitem(entry.cli.entries, "broken", Entry(f"{__name__}:broken", ""))
    monkeypatch.setitem(sys.modules, __name__, module)
    ended = edgepress("broken", *(["--debug"] if debug else []))
    assert ended.code == code
    assert ("Traceback" in ended.err) == debug
    assert ended.err.strip().splitlines()[-1].startswith("edgepress: ")
    if not debug:
        assert len(ended.err.strip().splitlines()) == 1  # click itself ends the line that shows ^C


def test_debug_after_two_dashes_is_a_file(edgepress: Command, tiny_bundle: Path) -> None:
    ended = edgepress("run", tiny_bundle, "--", "--debug")
    assert ended.code == 4
    assert "--debug does not exist" in ended.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(edgepress: Command, shell: str) -> None:
    ended = edgepress("completion", shell)
    assert ended.code == 0
    assert "_EDGEPRESS_COMPLETE" in ended.out


def test_completion_imports_no_command(process: Callable[..., subprocess.CompletedProcess[bytes]]) -> None:
    program = (
        "import os, sys, atexit\n"
        "os.environ.update(_EDGEPRESS_COMPLETE='bash_complete', COMP_WORDS='edgepress ', COMP_CWORD='1')\n"
        "atexit.register(lambda: print('numpy' in sys.modules))\n"
        "from edgepress.cli.main import main\n"
        "main([])"
    )
    lines = process("-c", program).stdout.decode().splitlines()
    assert "plain,run" in lines
    assert lines[-1] == "False"


@pytest.mark.parametrize("name", ["run", "inspect", "verify", "targets", "profile"])
def test_commands_of_a_device_import_nothing_heavy(
    process: Callable[..., subprocess.CompletedProcess[bytes]], tiny_bundle: Path, photograph: Path, name: str
) -> None:
    words = {"targets": ["rpi4"], "run": [str(tiny_bundle), str(photograph)]}.get(name, [str(tiny_bundle)])
    program = (
        "import sys, atexit\n"
        "heavy = {'torch', 'onnx', 'tvm', 'scipy', 'skimage'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & sys.modules.keys())))\n"
        "from edgepress.cli.main import main\n"
        f"main({[name, *words]!r})"
    )
    ended = process("-c", program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.decode().splitlines()[-1] == "heavy: []"


def test_a_run_starts_fast(
    process: Callable[..., subprocess.CompletedProcess[bytes]], tiny_bundle: Path, photograph: Path
) -> None:
    """A whole run takes at most four times what importing numpy and onnxruntime alone takes."""

    def best(*words: object) -> float:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            assert process(*words).returncode == 0
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    run = best("-m", "edgepress", "run", tiny_bundle, photograph)
    assert run < 4 * best("-c", "import numpy, onnxruntime")


def test_a_closed_pipe_is_quiet(tiny_bundle: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-m", "edgepress", "inspect", "--json", str(tiny_bundle)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root,
    )  # fmt: skip
    assert writer.stdout is not None and writer.stderr is not None
    writer.stdout.close()
    with writer:
        assert writer.stderr.read() == b""
    assert writer.returncode in (0, 141)


def test_ctrl_c_ends_with_130_within_a_second(tiny_bundle: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "edgepress", "run", str(tiny_bundle), "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells' background jobs ignore it
    ) as waiting:  # fmt: skip
        time.sleep(1.5)
        start = time.perf_counter()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == 130
        assert time.perf_counter() - start < 1
        assert waiting.stderr is not None
        assert waiting.stderr.read().decode().strip() == "edgepress: stopped"
