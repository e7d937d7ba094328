"""What a board's file must hold beyond the right types: names that mean something and numbers that can be."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

from edgepress.errors import UsageError
from edgepress.targets.description import Target
from edgepress.targets.tiles import lanes_of, most_rows, registers_of, tiles_of

ARCHES = ("aarch64", "x86_64", "riscv64", "thumb", "wasm32")
KINDS = ("linux", "android", "microcontroller", "wasm", "host")
ACTIVATIONS = ("uint8", "int8")
CODES = ("object", "c")
EMULATORS = ("", "arm64", "arm", "x86", "riscv64")

# These become file names, arguments of compilers and, for one, a program's name: a board's file may not make
# them anything else.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]{0,127})?")
_QEMU = re.compile(r"(qemu-[a-z0-9_]+(-static)?)?")

# 0 is a real count for these; every other number of a board is above 0.
_MAY_BE_ZERO = ("vector_bits", "vector_registers")


def checked(target: Target, file: str) -> Target:
    """``target`` itself, once every value is one that a board can have.

    Raises:
        UsageError: a value is none of those allowed, or a number is below what makes sense.
    """
    for at, value, allowed in (
        ("cpu.arch", target.cpu.arch, ARCHES),
        ("kind", target.kind, KINDS),
        ("activations", target.activations, ACTIVATIONS),
        ("toolchain.code", target.toolchain.code, CODES),
        ("toolchain.unicorn", target.toolchain.unicorn, EMULATORS),
    ):
        if value not in allowed:
            names = ", ".join(one or "nothing" for one in allowed)
            raise UsageError(f"{file} has {value[:80]!r} for '{at}'; it is one of {names}")
    _words(target, file)
    if not target.engines:
        raise UsageError(f'{file} names no engines; give at least one, such as engines = ["aot"]')
    for index, figure in enumerate(target.published):
        if figure.origin != "published" or not figure.how:
            raise UsageError(f"{file} has no source for 'published[{index}]'; say in 'how' who published it")
    _positive(target, file, "")
    if target.efficiency and target.efficiency.error < 1:
        raise UsageError(
            f"{file} has {target.efficiency.error} for 'efficiency.error'; it is a factor, 1 or more"
        )
    _tiles(target, file)
    return target


def _tiles(target: Target, file: str) -> None:
    """Tiles must fit the registers: sums that do not are kept in memory, at several times the cost."""
    given = target.kernels
    if given is None:
        return
    cpu = target.cpu
    lanes = 1 if target.toolchain.code == "c" else lanes_of(cpu)
    registers, by_element = registers_of(cpu), cpu.arch == "aarch64" and lanes > 1
    tiles = tiles_of(lanes, registers, by_element, given)
    if lanes == 1:
        return
    for key, rows, vectors in (
        ("rows", tiles.rows or 1, tiles.vectors or 1),
        ("dot_rows", tiles.dot_rows or 1, 4 if by_element else 2),
    ):
        most = most_rows(vectors, registers, by_element and key == "rows")
        if rows > most or vectors + 2 > registers:
            raise UsageError(
                f"{file} has {rows} for 'kernels.{key}': with {vectors} vectors of columns the {registers} "
                f"registers hold {most} rows at most"
            )


def _words(target: Target, file: str) -> None:
    texts = [("cpu.model", target.cpu.model)]
    texts += [(f"cpu.features[{i}]", one) for i, one in enumerate(target.cpu.features)]
    texts += [(f"engines[{i}]", one) for i, one in enumerate(target.engines)]
    texts += [
        (f"toolchain.{spec.name}", getattr(target.toolchain, spec.name)) for spec in fields(target.toolchain)
    ]
    for at, text in texts:
        if not _WORD.fullmatch(text):
            raise UsageError(f"{file} has {text[:80]!r} for '{at}'; give letters, digits and _ . + -")
    if not _NAME.fullmatch(target.name):
        raise UsageError(f"{file} has the name {target.name[:80]!r}; set name = to letters, digits and _ . -")
    if not _QEMU.fullmatch(target.toolchain.qemu):
        shown = target.toolchain.qemu[:80]
        raise UsageError(f"{file} has {shown!r} for 'toolchain.qemu'; give a qemu-… program's name")


def _positive(node: Any, file: str, where: str) -> None:
    for spec in fields(node):
        value = getattr(node, spec.name)
        at = f"{where}{spec.name}"
        if is_dataclass(value):
            _positive(value, file, f"{at}.")
        elif type(value) in (int, float) and (value < 0 or (value == 0 and spec.name not in _MAY_BE_ZERO)):
            raise UsageError(f"{file} has {value} for '{at}'; give a number above 0")
