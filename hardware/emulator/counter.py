"""Count emulated instructions in C: a Python callback for each block would take minutes a network.

The hook is six lines of C, compiled once a process with ziglang or the system's compiler; where neither
is installed a Python callback counts the same, about thirty times slower.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

_SOURCE = """\
typedef struct { unsigned long long count, limit, shift; int (*stop)(void *); } edgepress_count;
void edgepress_hook(void *uc, unsigned long long address, unsigned size, void *data) {
  edgepress_count *c = data;
  (void)address;
  c->count += c->shift ? size >> c->shift : 1;
  if (c->count > c->limit) c->stop(uc);
}
"""


class _Count(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_uint64),
        ("limit", ctypes.c_uint64),
        ("shift", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
    )


class Counter(Protocol):
    """A running count of instructions that stops the emulator beyond its limit."""

    @property
    def count(self) -> int:
        """Instructions since the counter was attached."""
        ...


class _CCounter:
    def __init__(self, state: _Count, hook: Any) -> None:
        self._state = state
        self._hook = hook  # the library must outlive the emulator

    @property
    def count(self) -> int:
        return int(self._state.count)


class _PythonCounter:
    def __init__(self, limit: int, shift: int) -> None:
        self.count = 0
        self._limit = limit
        self._shift = shift

    def __call__(self, uc: Any, address: int, size: int, data: Any) -> None:
        self.count += size >> self._shift if self._shift else 1
        if self.count > self._limit:
            uc.emu_stop()


def attach_counter(unicorn: Any, uc: Any, width: int, limit: int, *, compiled: bool = True) -> Counter:
    """Count every instruction that ``uc`` runs from now on.

    Args:
        unicorn: the module.
        uc: an emulator of it.
        width: bytes of each instruction where all have the same (counted a block at a time), else 0.
        limit: the emulator is stopped in the block in which the count passes this.
        compiled: False leaves the C hook out, for comparison.
    """
    shift = width.bit_length() - 1 if width else 0
    kind = unicorn.UC_HOOK_BLOCK if width else unicorn.UC_HOOK_CODE
    hook = _compiled_hook() if compiled else None
    core = _binding()
    if hook is None or core is None:
        counter = _PythonCounter(limit, shift)
        uc.hook_add(kind, counter)
        return counter
    state = _Count(0, limit, shift, ctypes.cast(core.uc_emu_stop, ctypes.c_void_p))
    handle = ctypes.c_size_t(0)
    add = core.uc_hook_add
    status = add(
        uc._uch, ctypes.byref(handle), kind, ctypes.cast(hook.edgepress_hook, ctypes.c_void_p),
        ctypes.cast(ctypes.byref(state), ctypes.c_void_p), ctypes.c_uint64(1), ctypes.c_uint64(0),
    )  # fmt: skip
    if status != unicorn.UC_ERR_OK:
        return attach_counter(unicorn, uc, width, limit, compiled=False)
    return _CCounter(state, hook)


def _binding() -> Any:
    """Unicorn's C library as its Python module has it open, or None where a version keeps it elsewhere."""
    for name in ("unicorn.unicorn_py3.unicorn", "unicorn.unicorn"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        library = getattr(module, "uclib", None) or getattr(module, "_uc", None)
        if library is not None:
            return library
    return None


@functools.cache
def _compiled_hook() -> Any:
    """The C hook, or None where nothing can compile it."""
    commands = []
    if importlib.util.find_spec("ziglang") is not None:
        commands.append([sys.executable, "-m", "ziglang", "cc"])
    commands += [[cc] for cc in ("cc", "gcc", "clang") if shutil.which(cc)]
    with tempfile.TemporaryDirectory(prefix="edgepress-count-", ignore_cleanup_errors=True) as folder:
        source, library = Path(folder) / "count.c", Path(folder) / "count.so"
        source.write_text(_SOURCE)
        for command in commands:
            full = [*command, "-O2", "-shared", "-fPIC", "-nostdlib", str(source), "-o", str(library)]
            try:
                subprocess.run(full, check=True, capture_output=True, timeout=300)
                return ctypes.CDLL(str(library))
            except (OSError, subprocess.SubprocessError):
                continue
    return None
