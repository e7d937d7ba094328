"""A child process that answers lines: one line of JSON to it, one line of JSON back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from edgepress.errors import EdgepressError
from edgepress.hardware.child import module_command, module_environment

_PATIENCE = 10.0  # seconds to end in


class ChildLines:
    """A module in a process of its own, which ends with the context, or with this process.

    Args:
        module: it reads lines from its standard input until that ends, and answers each with an object; one with the
            key ``error`` says what failed.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            module_command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=module_environment(),
        )

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer.

        Raises:
            EdgepressError: the child says that it failed, or has ended; of that it has said why on standard error.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            found: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            raise EdgepressError(f"the process of {self._module} has ended; its message is above") from None
        if "error" in found:
            raise EdgepressError(str(found["error"]))
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.close()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
