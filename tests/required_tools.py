"""Programs that a test needs and a machine may lack.

A test asks with :func:`tool` and is skipped where the program is missing. With ``EDGEPRESS_REQUIRE_TOOLS``
set (as ``.ci/run`` does) a skip is a failure instead, whoever asked for it: nothing goes untested unseen.
A skip that no installation can mend starts its reason with ``platform:`` and stays a skip.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from typing import TypeVar

import pytest

_PACKAGES = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-objdump": "binutils-aarch64-linux-gnu",
    "cc": "gcc",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-riscv64-static": "qemu-user-static",
}
_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def tools_are_required() -> bool:
    """Whether a missing tool is a failure."""
    return os.environ.get("EDGEPRESS_REQUIRE_TOOLS", "") not in ("", "0")


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped, or fails where tools are required."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {_PACKAGES.get(name, name)})")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test's skip becomes a failure where tools are required."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself as a whole."""
    return _judged((yield))


def _judged(report: _Report) -> _Report:
    if report.outcome != "skipped" or hasattr(report, "wasxfail") or not tools_are_required():
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith("platform:"):
        report.outcome = "failed"
        report.longrepr = f"EDGEPRESS_REQUIRE_TOOLS is set, and this was skipped: {reason}"
    return report
