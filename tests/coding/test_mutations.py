"""Mutated bodies and models under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgepress.targets.compilers.link import CODER
from tests.required_tools import tool


@pytest.fixture(scope="module")
def campaign(case: Path) -> Path:
    """The program that mutates."""
    flags = ("-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I.", "-fno-sanitize-recover=all")
    watch = "-fsanitize=address,undefined"
    others = [name for name in CODER if name != "ep_coding.c"]
    command = [tool("cc"), *flags, watch, "campaign.c", *others, "-o", "campaign"]
    subprocess.run(command, cwd=case, check=True, timeout=300)
    return case / "campaign"


def run(program: Path, count: int, seed: int) -> list[int]:
    """Bodies, those taken, models, those taken."""
    environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:allocator_may_return_null=0"}
    done = subprocess.run(
        [str(program), str(count), str(seed)], env=environment, capture_output=True, text=True, timeout=3600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(word) for word in done.stdout.replace(",", "").replace(";", "").split() if word.isdigit()]


def check(found: list[int], count: int) -> None:
    """Most are refused, some of each are taken: the mutations reach behind the first checks."""
    bodies, taken, models, sound = found
    assert count <= bodies < count + 20 and 0 < taken < bodies // 2
    assert models == bodies // 20 and 0 < sound < models


def test_nothing_is_read_or_written_outside(campaign: Path) -> None:
    check(run(campaign, 10_000, 1), 10_000)


@pytest.mark.slow
def test_a_million_mutations(campaign: Path) -> None:
    for seed in range(2, 12):
        check(run(campaign, 100_000, seed), 100_000)
