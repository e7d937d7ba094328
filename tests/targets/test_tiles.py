"""Tiles: the rule, a board's own choice, and what does not fit the registers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.errors import UsageError
from edgepress.targets import load_target, target_names
from edgepress.targets.description import Tiles
from edgepress.targets.tiles import lanes_of, most_rows, registers_of, tiles_of


@given(st.sampled_from([4, 8, 16]), st.sampled_from([16, 32]), st.booleans())
def test_a_tile_by_rule_fits_the_registers(lanes: int, registers: int, by_element: bool) -> None:
    tiles = tiles_of(lanes, registers, by_element, Tiles())
    assert tiles.rows and tiles.vectors
    taken = tiles.rows * tiles.vectors + tiles.vectors + (tiles.rows if by_element else 1)
    assert taken <= registers < taken + tiles.vectors + 6


@pytest.mark.parametrize("name", [name for name in target_names() if name != "host"])
def test_what_a_boards_file_states_is_what_the_rule_gives(name: str) -> None:
    """Else the host, which has no file, would get other tiles than the board that it is."""
    board = load_target(name)
    if board.kernels is None:
        return
    lanes = lanes_of(board.cpu)
    by_element = board.cpu.arch == "aarch64" and lanes > 1
    rule = tiles_of(lanes, registers_of(board.cpu), by_element, Tiles())
    assert tiles_of(lanes, registers_of(board.cpu), by_element, board.kernels) == rule


def _board(folder: Path, kernels: str, base: str = "x86-64-v3") -> Path:
    path = folder / "board.toml"
    path.write_text(f'base = "{base}"\n[kernels]\n{kernels}\n')
    return path


def test_a_file_of_ones_own_chooses(tmp_path: Path) -> None:
    board = load_target(str(_board(tmp_path, "rows = 4")))
    assert board.kernels is not None
    assert (board.kernels.rows, board.kernels.vectors) == (4, 2)


@pytest.mark.parametrize(
    ("kernels", "words"),
    [
        ("rows = 7", "7 for 'kernels.rows': with 2 vectors of columns the 16 registers hold 6 rows at most"),
        ("vectors = 4", "6 for 'kernels.rows': with 4 vectors of columns the 16 registers hold 2 rows"),
        ("vectors = 40", "hold 1 rows at most"),
        ("dot_rows = 9", "9 for 'kernels.dot_rows'"),
        ("rows = 0", "give a number above 0"),
        ("rows = 2.5", "must be a whole number"),
        ("row = 3", "did you mean 'rows'"),
    ],
)
def test_a_wrong_tile_is_one_sentence(kernels: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        load_target(str(_board(tmp_path, kernels)))


def test_rows_that_registers_hold() -> None:
    assert most_rows(2, 32, False) == 14
    assert most_rows(4, 32, True) == 5
    assert most_rows(40, 16, False) == 1
