"""The parent's side of a worker: start it, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from typing import IO, Any

from tests.benchmarks.peers.task import ROOT


class PeerError(Exception):
    """An engine that is missing or failed; the others go on."""


class Client:
    """One worker process.

    Args:
        engine: which engine it runs.
        python: the interpreter of the environment that has the engine.
        cores: those that the process may use.
    """

    def __init__(self, engine: str, python: str = sys.executable, cores: tuple[int, ...] = ()) -> None:
        self.engine = engine
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
        if cores:
            environment |= {"PEERS_CORES": ",".join(map(str, cores)), "OMP_NUM_THREADS": str(len(cores))}
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self.process = subprocess.Popen(
            [python, "-m", "tests.benchmarks.peers.worker", engine], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=None if os.environ.get("PEERS_DEBUG") else self.log,
        )  # fmt: skip
        self.pending = b""

    def ask(self, what: str, timeout: float = 900.0, **details: Any) -> dict[str, Any]:
        """Ask, and wait for the answer.

        Raises:
            PeerError: the engine failed, ended or took too long.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise PeerError(self._ended()) from None
        answer = json.loads(self._line(what, timeout))
        if "error" in answer:
            raise PeerError(answer["error"])
        found: dict[str, Any] = answer
        return found

    def sleep(self) -> None:
        """Stop the process until :meth:`wake`: some pools spin for long after a run, on others' time."""
        if hasattr(signal, "SIGSTOP") and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let the process go on."""
        if hasattr(signal, "SIGCONT") and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):  # it ended before it read everything
            self.process.stdin.close()
        self.log.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, what: str, timeout: float) -> bytes:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                if not selector.select(timeout):
                    raise PeerError(f"no answer to {what!r} within {timeout:.0f} s")
                data = os.read(descriptor, 1 << 16)
                if not data:
                    raise PeerError(self._ended())
                self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def _ended(self) -> str:
        status = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with status {status}" + (f" ({lines[-1][:200]})" if lines else "")
