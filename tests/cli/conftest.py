"""Run the command line inside the test's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgepress.cli.main import main


@dataclass(frozen=True)
class Ended:
    """A command's exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as strict JSON."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


Command = Callable[..., Ended]


@pytest.fixture
def edgepress(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``edgepress`` with the given words; an uncaught exception fails the test."""

    def run(*words: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err or "--debug" in words
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs Python in a process of its own, with the repository on its path."""
    root = str(Path(__file__).resolve().parents[2])

    def run(*words: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "PYTHONPATH": root}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(
            command, capture_output=True, check=False, env=environment, timeout=120, **options
        )

    return run
