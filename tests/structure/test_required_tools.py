"""A skip for a missing tool fails where tools are required, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.structure.house import ROOT

_TESTS = """
import pytest
from tests.required_tools import tool

def test_asks(): tool("no-such-program")
@pytest.mark.skipif(True, reason="gcc is not here")
def test_skips(): pass
@pytest.mark.skipif(True, reason="platform: another system")
def test_platform(): pass
def test_passes(): assert tool("sh")
"""
_WHOLE_FILE = "import pytest\npytest.importorskip('no_such_module')\n"


def run_tests(folder: Path, text: str, required: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of a file of tests, with nothing of this project's configuration but the plugin."""
    (folder / "test_these.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.required_tools", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(folder), str(folder / "test_these.py")],
        cwd=ROOT,
        env={**os.environ, "EDGEPRESS_REQUIRE_TOOLS": required},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("required", "expected"), [("", "1 passed, 3 skipped"), ("1", "1 failed, 1 passed, 1 skipped, 1 error")]
)
def test_a_missing_tool_is_a_skip_or_a_failure(tmp_path: Path, required: str, expected: str) -> None:
    done = run_tests(tmp_path, _TESTS, required)
    assert expected in done.stdout, done.stdout + done.stderr


def test_a_file_that_skips_itself_fails_where_tools_are_required(tmp_path: Path) -> None:
    assert "1 skipped" in run_tests(tmp_path, _WHOLE_FILE, "").stdout
    done = run_tests(tmp_path, _WHOLE_FILE, "1")
    assert done.returncode != 0
    assert "no_such_module" in done.stdout
