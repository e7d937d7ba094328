"""Read a shared library as a loader does: segments, relocations, symbols; or an image at its own place."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgepress.errors import BundleError, MissingExtraError

_LARGEST_IMAGE = 1 << 30

# 32-bit processors, whose code is checked as an image linked at a fixed address.
_STATIC = {"EM_ARM"}
# What a relocation adds up to: the load address plus the addend, or the symbol's address plus the addend.
_RELATIVE = {"EM_AARCH64": {1027}, "EM_X86_64": {8}, "EM_RISCV": {3}}
_SYMBOL = {"EM_AARCH64": {257, 1025, 1026}, "EM_X86_64": {1, 6, 7}, "EM_RISCV": {2, 5}}


@dataclass(frozen=True)
class Segment:
    """Bytes at an address, before the library is moved: ``size`` may exceed ``data``, the rest is zero."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True)
class Image:
    """A shared library ready to be placed at ``base``, or an image that was linked to lie there.

    Attributes:
        machine: the processor by its ELF name, such as ``EM_AARCH64``.
        segments: what to map, relative to the base.
        fixups: 64-bit words to write after mapping: address relative to the base, value with the base in it.
        symbols: exported names and their addresses relative to the base.
        functions: name, address and size of every function that the file still names.
        size: bytes from the base to the end of the last segment.
    """

    machine: str
    segments: tuple[Segment, ...]
    fixups: tuple[tuple[int, int], ...]
    symbols: dict[str, int]
    functions: tuple[tuple[str, int, int], ...]
    size: int

    def function_at(self, offset: int) -> str | None:
        """The function that holds an address relative to the base, where the file names it."""
        for name, start, size in self.functions:
            if start <= offset < start + size:
                return name
        return None


def read_image(library: bytes, base: int) -> Image:
    """Read a 64-bit shared library that needs no other one, or a 32-bit image linked at ``base`` or above.

    Raises:
        BundleError: the bytes are no such library.
        MissingExtraError: pyelftools is not installed.
    """
    try:
        elffile = importlib.import_module("elftools.elf.elffile")
    except ImportError:
        raise MissingExtraError("emulating a library", "pyelftools", "build") from None
    try:
        return _read(elffile.ELFFile(io.BytesIO(library)), base, len(library))
    except BundleError:
        raise
    except Exception as error:  # pyelftools meets hostile bytes with errors of many kinds
        raise BundleError(f"the library is damaged ({error}); build the bundle again") from None


def _read(elf: Any, base: int, length: int) -> Image:
    machine = str(elf["e_machine"])
    if elf.elfclass == 32 and elf.little_endian and machine in _STATIC:
        return _read_static(elf, machine, base, length)
    if elf.elfclass != 64 or not elf.little_endian or machine not in _RELATIVE:
        raise BundleError(
            f"the library is for {machine}, which is not emulated here; its portable graph can be run"
        )
    segments, size = _segments(elf, 0, length)
    dynamic = next(elf.iter_segments("PT_DYNAMIC"), None)
    if dynamic is None or not segments:
        raise BundleError("the library has nothing to load; build the bundle again")
    if any(tag.entry.d_tag == "DT_NEEDED" for tag in dynamic.iter_tags()):
        raise BundleError(
            "the library needs other libraries, so it cannot be emulated by itself; link it again"
        )
    table = elf.get_section_by_name(".dynsym")
    symbols: dict[str, int] = {}
    if table is not None:
        symbols = {
            s.name: s["st_value"] for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF" and s.name
        }
    fixups = tuple(_fixups(dynamic, table, machine, base, size))
    return Image(machine, tuple(segments), fixups, symbols, tuple(_functions(elf)), size)


def _segments(elf: Any, base: int, length: int) -> tuple[list[Segment], int]:
    """What to map, relative to ``base``, and where the last segment ends."""
    segments = []
    size = 0
    for segment in elf.iter_segments("PT_LOAD"):
        start, count, whole = segment["p_vaddr"] - base, segment["p_filesz"], segment["p_memsz"]
        fits = count <= whole and segment["p_offset"] + count <= length
        if not fits or start < 0 or start + whole > _LARGEST_IMAGE:
            raise BundleError("the library's segments do not fit its file; build the bundle again")
        segments.append(Segment(start, segment.data(), whole))
        size = max(size, start + whole)
    return segments, size


def _read_static(elf: Any, machine: str, base: int, length: int) -> Image:
    segments, size = _segments(elf, base, length)
    table = elf.get_section_by_name(".symtab")
    if elf["e_type"] != "ET_EXEC" or not segments or table is None:
        raise BundleError("the image has nothing to load and call; build the bundle again")
    symbols = {
        s.name: s["st_value"] - base
        for s in table.iter_symbols()
        if s["st_info"]["bind"] == "STB_GLOBAL" and s["st_shndx"] != "SHN_UNDEF" and s.name
    }
    # The lowest bit of a function's address says Thumb; it is no part of where the code lies.
    functions = tuple((name, (start & ~1) - base, count) for name, start, count in _functions(elf))
    return Image(machine, tuple(segments), (), symbols, functions, size)


def _fixups(dynamic: Any, table: Any, machine: str, base: int, size: int) -> Iterable[tuple[int, int]]:
    for _, relocations in sorted(dynamic.get_relocation_tables().items()):
        for entry in relocations.iter_relocations():
            kind = entry["r_info_type"]
            addend = entry["r_addend"] if entry.is_RELA() else 0
            if kind in _RELATIVE[machine]:
                value = base + addend
            elif kind in _SYMBOL[machine]:
                symbol = table.get_symbol(entry["r_info_sym"])
                if symbol["st_shndx"] == "SHN_UNDEF":
                    raise BundleError(
                        f"the library needs {symbol.name}, which nothing gives it; link it again"
                    )
                value = base + symbol["st_value"] + addend
            else:
                raise BundleError(
                    f"the library has a relocation of type {kind}, which is not understood; link it again"
                )
            if not 0 <= entry["r_offset"] <= size - 8:
                raise BundleError("a relocation of the library points outside it; build the bundle again")
            yield entry["r_offset"], value & (1 << 64) - 1


def _functions(elf: Any) -> Iterable[tuple[str, int, int]]:
    seen = set()
    for name in (".symtab", ".dynsym"):
        table = elf.get_section_by_name(name)
        for symbol in table.iter_symbols() if table is not None else ():
            if (
                symbol["st_info"]["type"] == "STT_FUNC"
                and symbol["st_size"]
                and symbol["st_value"] not in seen
            ):
                seen.add(symbol["st_value"])
                yield symbol.name, symbol["st_value"], symbol["st_size"]
