"""The relay as a process of its own, started and steered from here."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from edgepress.errors import EdgepressError
from edgepress.hardware.child import module_command, module_environment
from edgepress.hardware.link import Link

_PATIENCE = 10.0  # seconds to end in


class RelayProcess:
    """A relay that runs.

    Attributes:
        address: where it listens, ``HOST:PORT``.
    """

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.address = address
        self._process = process

    @property
    def url(self) -> str:
        """The address for HTTP."""
        return f"http://{self.address}"

    def say(self, line: str) -> None:
        """Steer it, as :func:`edgepress.hardware.relay.obey` says, and wait until it has obeyed.

        Raises:
            EdgepressError: it does not know the word, or has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except OSError:
            raise EdgepressError("the relay has ended; start it again") from None
        answer = self._process.stdout.readline().strip()
        if answer != "ok":
            raise EdgepressError(answer.removeprefix("error: ") or "the relay has ended; start it again")

    def set_link(self, link: Link) -> None:
        """Be another link from now on."""
        self.say(f"link {link}")


@contextlib.contextmanager
def relay_process(link: Link, to: str, *, drop: float = 0.0, seed: int = 0) -> Iterator[RelayProcess]:
    """A relay in a process of its own; it ends with the context, or with this process.

    Args:
        link: what it is like at first.
        to: the server, ``HOST:PORT``.
        drop: the share of connections that are cut after some bytes.
        seed: of which they are.

    Raises:
        EdgepressError: it does not start.
    """
    command = module_command(
        "edgepress.hardware.relay", "--to", to, "--link", str(link), "--drop", str(drop), "--seed", str(seed),
        "--control",
    )  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=module_environment()
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            word, _, address = process.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise EdgepressError(f"the relay to {to} does not start (its message is above)")
            yield RelayProcess(process, address)
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()  # by which it ends
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
