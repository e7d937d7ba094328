"""Ctrl-C within a second, whatever the compiler is doing: the build runs in a child, the parent listens.

A signal handler in Python waits for the C++ call it interrupts, and some calls of a compiler take long. The
parent does nothing but wait, so it can always answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

_GRACE_S = 0.5
_PR_SET_PDEATHSIG = 1


def run_interruptible(work: Callable[[Callable[[str], None]], int]) -> tuple[int, list[str] | None]:
    """Run ``work`` in a child process.

    Args:
        work: gets a function that it tells of each thing that is finished and kept; returns an exit code.

    Returns:
        The exit code and None; or, when it was interrupted, 130 and what was finished by then.
    """
    reader, writer = os.pipe()
    woken, wake = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A handler that only wakes the loop below: an exception could be raised in the middle of a read.
    before = signal.signal(signal.SIGINT, lambda number, frame: _tell(wake, "interrupted"))
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _run_child(work, writer, parent)
    os.close(writer)
    told = b""
    try:
        while True:
            ready = select.select([reader, woken], [], [])[0]
            if woken in ready:
                told += _stop(child, reader)
                return 130, told.decode("utf-8", "replace").splitlines()
            block = os.read(reader, 65536)
            if not block:
                break
            told += block
        _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGINT, before)
        for descriptor in (reader, woken, wake):
            os.close(descriptor)
    code = os.waitstatus_to_exitcode(status)
    return (code if code >= 0 else 128 - code), None


def _run_child(work: Callable[[Callable[[str], None]], int], writer: int, parent: int) -> NoReturn:
    _die_with(parent)
    code = 1
    try:
        code = work(lambda name: _tell(writer, name))
        sys.stdout.flush()
    except (KeyboardInterrupt, SystemExit):
        code = 130
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell(writer: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.write(writer, f"{name}\n".encode())


def _stop(child: int, reader: int) -> bytes:
    """Ask the child to end, make it end, and read what it told last."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGINT)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    told = b""
    while select.select([reader], [], [], 0)[0]:
        block = os.read(reader, 65536)
        if not block:
            break
        told += block
    return told


def _die_with(parent: int) -> None:
    """On Linux, end when the parent is killed; elsewhere the build would finish unheard."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
