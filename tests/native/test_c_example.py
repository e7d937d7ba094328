"""The C example, built with this machine's own compiler against a linked archive."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgepress.targets.compilers.link import Linked
from tests.native.tiny_model import ROOT, example, expected, weights
from tests.required_tools import tool


@pytest.fixture(scope="module")
def program(here: Linked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in a folder of its own, built by its Makefile from an unzipped bundle's compiled part."""
    tool("cc")
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "examples" / "c", folder, dirs_exist_ok=True)
    aot = folder / "network" / "main" / "aot"
    (aot / "include").mkdir(parents=True)
    assert here.archive is not None
    shutil.copyfile(here.archive, aot / here.archive.name)
    for header in here.headers:
        shutil.copyfile(header, aot / "include" / header.name)
    (aot / "weights.bin").write_bytes(weights())
    example().tofile(folder / "x.f32")
    command = [tool("make"), f"AOT={aot}", "CFLAGS=-O2 -std=c11 -Wall -Wextra -Werror"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "classify"


@pytest.mark.parametrize("threads", ["1", "4"])
def test_it_names_the_top_class(program: Path, threads: str) -> None:
    arguments = ["network/main/aot/weights.bin", "x.f32", threads]
    done = subprocess.run(
        [program, *arguments], cwd=program.parent, capture_output=True, text=True, check=True
    )
    found = re.fullmatch(r"class (\d+), score ([0-9.]+)\n", done.stdout)
    assert found is not None
    wanted = expected(example())["probabilities"][0]
    assert int(found[1]) == wanted.argmax()
    assert float(found[2]) == pytest.approx(wanted.max(), abs=2e-6)


def test_wrong_files_end_in_a_sentence(program: Path) -> None:
    for arguments, code, said in [
        (["x.f32"], 2, "usage"),
        (["absent", "x.f32"], 1, "absent is not a file of 6976 bytes"),
        (["network/main/aot/weights.bin", "main.c"], 1, "main.c is not a file of 64 bytes"),
        (["network/main/aot/weights.bin", "x.f32", "0"], 1, "threads cannot be started"),
    ]:
        done = subprocess.run(
            [program, *arguments], cwd=program.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == code and said in done.stderr
