"""What this machine can do at most: fp32 and int8 operations a second, and bytes read a second.

::

    c/peak.c ─ zig ─► libpeak ─ ctypes, one thread a core ─► Peaks ─► hwbench/<processor>.json in the cache

The figures are the roof of a roofline: a layer can be no faster than its operations over the peak, nor
than its bytes over the bandwidth.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgepress.errors import CompileError, StorageError
from edgepress.hardware.machine import this_machine
from edgepress.paths import cache_dir
from edgepress.progress import Progress, silent
from edgepress.records import RecordError, decode
from edgepress.targets.description import Cache, Target
from edgepress.targets.detect import usable_cores

FORM = 2
_SECONDS = 0.02  # of one trial: short ones find a moment in which nothing else runs
_TRIALS = 40
_BUFFER = 1 << 28  # bytes in all: several times any cache


@dataclass(frozen=True)
class CacheRead:
    """What is read from one cache: its size for each core, in bytes, and bytes a second of all threads."""

    bytes: int
    bandwidth: float


@dataclass(frozen=True)
class Peak:
    """What a number of threads reach together: the best of several trials.

    Attributes:
        threads: how many.
        fp32: operations a second, a multiply-add counting two.
        int8: the same for products of eight bits with sums of 32.
        bandwidth: bytes read a second from memory that no cache holds.
        caches: the same from each cache whose size is known, the smallest first.
    """

    threads: int
    fp32: float
    int8: float
    bandwidth: float
    caches: tuple[CacheRead, ...] = ()

    def reads(self, size: int) -> float:
        """Bytes read a second where ``size`` bytes are in use: from the smallest cache that holds them."""
        return next((cache.bandwidth for cache in self.caches if size <= cache.bytes), self.bandwidth)


@dataclass(frozen=True)
class Peaks:
    """A machine's peaks, for one thread and for all cores.

    Attributes:
        cpu: the processor, as it calls itself.
        vector_bytes: of a register.
        int8_instruction: what int8 was measured with.
        peaks: by rising number of threads.
    """

    cpu: str
    vector_bytes: int
    int8_instruction: str
    peaks: tuple[Peak, ...]

    def at(self, threads: int) -> Peak:
        """The peak for a number of threads; what was not measured is taken as that many times one thread's.

        The bandwidth of more threads than one, where not measured, is that of all cores.
        """
        for peak in self.peaks:
            if peak.threads == threads:
                return peak
        one, all_cores = self.peaks[0], self.peaks[-1]
        share = min(threads, all_cores.threads)
        return Peak(threads, one.fp32 * share, one.int8 * share, all_cores.bandwidth, all_cores.caches)


def measure_peaks(threads: tuple[int, ...] = (), progress: Progress = silent, board: str = "host") -> Peaks:
    """Measure this machine, which should have nothing else to do.

    Args:
        threads: numbers of threads; one and every usable core by default.
        progress: told of each trial.
        board: whose instructions are used; one that this machine runs, such as ``x86-64-v3``.

    Raises:
        MissingExtraError: there is no C compiler; the extra ``build`` brings one.
        CompileError: the kernels do not compile.
        TargetError: no code is written for this machine's processor.
    """
    import numpy as np  # who only reads kept figures needs none

    from edgepress.targets import load_target

    counts = tuple(sorted(set(threads or (1, usable_cores()))))
    target = load_target(board)
    with tempfile.TemporaryDirectory(prefix="edgepress-hwbench-") as folder:
        library = _library(target, Path(folder))
        block = np.ones(_BUFFER + 64, np.uint8)  # written: pages never written are all one page
        start = block.ctypes.data + -block.ctypes.data % 64
        found = []
        for number, count in enumerate(counts):
            progress(number, len(counts), f"peaks of {count} thread(s)")
            found.append(_measure(library, count, start, target.cpu.cache))
        progress(len(counts), len(counts), "done")
        return Peaks(
            this_machine().cpu,
            int(library.peak_vector_bytes()),
            library.peak_int8_instruction().decode("ascii"),
            tuple(found),
        )


def kept_peaks() -> Peaks | None:
    """What was measured on this machine before; None where nothing was, or where it cannot be read."""
    try:
        data = json.loads(peaks_file().read_text("utf-8"))
        if not isinstance(data, dict) or data.pop("form", None) != FORM:
            return None
        found = decode(Peaks, data)
    except (OSError, ValueError, RecordError):
        return None
    return found if found.peaks and found.cpu == this_machine().cpu else None


def peaks_of(target: Target) -> Peaks | None:
    """What was measured on this machine, where a target is this machine: the host, or a board of its processor."""
    from edgepress.targets import load_target

    peaks = kept_peaks()
    if peaks is None or target.kind == "host":
        return peaks
    own = load_target("host").cpu
    same = (own.arch, own.model, own.vector_bits) == (
        target.cpu.arch,
        target.cpu.model,
        target.cpu.vector_bits,
    )
    dots = {"avx512vnni", "avxvnni", "dotprod"}
    return peaks if same and dots & set(own.features) == dots & set(target.cpu.features) else None


def keep_peaks(peaks: Peaks) -> Path:
    """Write the figures to the cache; returns the file.

    Raises:
        StorageError: the file cannot be written.
    """
    path = peaks_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"form": FORM, **asdict(peaks)}, indent=1) + "\n", "utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}); set EDGEPRESS_CACHE to a folder that can"
        ) from None
    return path


def peaks_file() -> Path:
    """Where this machine's figures are kept: by processor and cores, since a cache may be shared."""
    return cache_dir() / "hwbench" / f"{machine_key()}.json"


def machine_key() -> str:
    """This machine in sixteen hexadecimal digits: its processor and how many cores may be used."""
    machine = this_machine()
    return hashlib.sha256(f"{machine.cpu} {machine.arch} {machine.cores}".encode()).hexdigest()[:16]


def _library(target: Target, folder: Path) -> ctypes.CDLL:
    from edgepress.targets.compilers.zig import OPTIONS, c_compiler, invoke

    shutil.copyfile(Path(__file__).resolve().with_name("c") / "peak.c", folder / "peak.c")
    compiler = c_compiler(target)
    # A system's compiler is told the level only; zig is told each feature.
    level = "native" if target.kind == "host" else target.cpu.model
    native = (f"-march={level}",) if compiler.name != "ziglang" and target.cpu.arch == "x86_64" else ()
    options = (*OPTIONS, *native, "-ffp-contract=fast", "-fPIC", "-shared")
    command = (*compiler.cc, *options, "peak.c", "-o", "libpeak.so")
    invoke(command, "compiling the peak kernels", folder)
    try:
        library = ctypes.CDLL(str(folder / "libpeak.so"))
    except OSError as error:
        raise CompileError(f"the peak kernels cannot be loaded ({error}); install the extra build") from None
    library.peak_vector_bytes.restype = ctypes.c_int
    library.peak_int8_instruction.restype = ctypes.c_char_p
    for name in ("peak_fp32_operations", "peak_int8_operations"):
        getattr(library, name).restype = ctypes.c_double
    library.peak_fp32.argtypes = library.peak_int8.argtypes = (ctypes.c_int64,)
    library.peak_fp32.restype = ctypes.c_float
    library.peak_int8.restype = ctypes.c_int32
    library.peak_read_again.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64)
    library.peak_read_again.restype = ctypes.c_uint64
    return library


def _measure(library: Any, threads: int, start: int, cache: Cache) -> Peak:
    def read_of(size: int) -> float:
        share = max(512, size // 512 * 512)
        assert share * threads <= _BUFFER

        def read(rounds: int, thread: int) -> None:
            library.peak_read_again(start + thread * share, share, rounds)

        return _best(read, float(share), threads)

    # Half of a cache, so that what is read stays in it. The first two belong to each core, the third to all.
    sizes = {cache.l1d: 2, cache.l2: 2, cache.l3: 2 * threads}
    found = [(size, min(size // parts, _BUFFER // threads)) for size, parts in sizes.items() if size]

    return Peak(
        threads,
        _best(lambda rounds, _: library.peak_fp32(rounds), library.peak_fp32_operations(), threads),
        _best(lambda rounds, _: library.peak_int8(rounds), library.peak_int8_operations(), threads),
        read_of(_BUFFER // threads),
        tuple(CacheRead(size, read_of(share)) for size, share in sorted(found)),
    )


def _best(work: Callable[[int, int], object], amount: float, threads: int) -> float:
    """The most ``amount`` a second that all threads reach together, over several trials."""
    rounds = 1
    while (seconds := _together(work, rounds, 1)) < _SECONDS / 4:
        rounds *= 4
    rounds = max(1, round(rounds * _SECONDS / seconds))
    return max(amount * rounds * threads / _together(work, rounds, threads) for _ in range(_TRIALS))


def _together(work: Callable[[int, int], object], rounds: int, threads: int) -> float:
    """Seconds from the first thread's start to the last one's end; none holds Python's lock while it works."""
    if threads == 1:
        begin = time.perf_counter()
        work(rounds, 0)
        return time.perf_counter() - begin
    barrier = threading.Barrier(threads)
    spans: list[tuple[float, float]] = []

    def one(thread: int) -> None:
        barrier.wait()
        begin = time.perf_counter()
        work(rounds, thread)
        spans.append((begin, time.perf_counter()))

    workers = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(end for _, end in spans) - min(begin for begin, _ in spans)
