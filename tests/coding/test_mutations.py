"""Mutated bodies, models and split networks under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgepress.targets.compilers.link import CODER, SENDER
from edgepress.targets.compilers.sender import NAME
from tests.required_tools import tool


def sanitized(case: Path, program: str, *units: str) -> Path:
    """A program that mutates, of its own source and further ones but the coder's first, which it includes."""
    flags = ("-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I.", "-fno-sanitize-recover=all")
    watch = "-fsanitize=address,undefined"
    others = [name for name in (*CODER, *units) if name != "ep_coding.c"]
    command = [tool("cc"), *flags, watch, f"{program}.c", *others, "-o", program]
    subprocess.run(command, cwd=case, check=True, timeout=300)
    return case / program


@pytest.fixture(scope="module")
def campaign(case: Path) -> Path:
    """Of bodies and models."""
    return sanitized(case, "campaign")


@pytest.fixture(scope="module")
def split_campaign(case: Path) -> Path:
    """Of a split network's tables and latents."""
    return sanitized(case, "split_campaign", *SENDER, NAME)


def run(program: Path, count: int, seed: int) -> list[int]:
    """The numbers that a program tells: bodies, those taken, models, those taken; or splits, those opened, streams."""
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


def check_splits(found: list[int], count: int) -> None:
    """Some of each are opened, and most of those give a stream."""
    splits, opened, streams = found
    assert splits == count and count // 20 < opened < count // 2 and opened // 4 < streams < opened


def test_a_split_network_reads_and_writes_nothing_outside(split_campaign: Path) -> None:
    check_splits(run(split_campaign, 10_000, 1), 10_000)


@pytest.mark.slow
def test_a_million_mutated_split_networks(split_campaign: Path) -> None:
    for seed in range(2, 12):
        check_splits(run(split_campaign, 100_000, seed), 100_000)
