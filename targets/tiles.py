"""The tiles of a processor's kernels, by rule from its registers: what a board's ``[kernels]`` may change.

A tile of a matrix product or a convolution keeps rows × vectors of sums in registers. Each step of the sum
reads one vector for each column of vectors, and one number a row: the more rows, the fewer reads of columns;
the more vectors, the fewer of rows. A sum that no register is left for goes to memory and back at every
step, which is several times slower, so a tile that does not fit is refused.
"""

from __future__ import annotations

from edgepress.targets.description import Cpu, Tiles

_MOST_ROWS = 12  # more make the code of the tails longer and gained nothing where it was tried
_WEIGHTS_STAY = 96 * 1024


def lanes_of(cpu: Cpu) -> int:
    """fp32 numbers of one vector register; 1 where there are none."""
    return max(1, min(cpu.vector_bits, 512) // 32)


def registers_of(cpu: Cpu) -> int:
    """How many vector registers a processor has, or is taken to have."""
    return cpu.vector_registers or (32 if cpu.arch in ("aarch64", "riscv64") else 16)


def most_rows(vectors: int, registers: int, by_element: bool) -> int:
    """The most rows of a tile that registers hold, beside a column's vectors and the rows' own numbers.

    Where a multiply-add takes one lane of a register (``by_element``), each row keeps a register of inputs;
    elsewhere one register is spread over and over.
    """
    rows = (registers - vectors) // (vectors + 1) if by_element else (registers - vectors - 1) // vectors
    return max(1, rows)


def tiles_of(lanes: int, registers: int, by_element: bool, given: Tiles) -> Tiles:
    """Every choice: the one given, or the rule's."""
    vectors = given.vectors or (4 if lanes == 4 and registers >= 32 else 2)
    rows = given.rows or min(_MOST_ROWS, most_rows(vectors, registers, by_element))
    if lanes == 1:  # the C compiler allots registers; a panel is four columns
        vectors, rows = given.vectors or 4, given.rows or (4 if registers >= 32 else 2)
    columns = given.depthwise_columns or (14 if registers >= 32 else 6)
    return Tiles(rows, vectors, given.dot_rows, columns, given.weights_stay_bytes or _WEIGHTS_STAY)
