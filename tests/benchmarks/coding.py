"""The entropy coder on latents: bits against lossless picture formats, and values a second.

``python -m tests.benchmarks.coding FIT.npz ON.npz``: a model is fitted to the first file's arrays
``[channels, rows, columns]`` and judged on the second one's. Pictures are tiled to 8 bits as published codecs do it;
for each one the layout that comes out shortest counts. Needs ``edgepress[bench]``.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgepress.coding.coder import Coding, cost
from edgepress.coding.fit import fit
from edgepress.coding.frozen import write_codings
from edgepress.coding.stream import Header
from edgepress.coding.table import fit_table
from edgepress.coding.whole import encode, step_of
from edgepress.runtimes.coders import coder_library
from edgepress.runtimes.native_coder import NativeCoder

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Speed:
    """Million values a second on one core, the best of some runs."""

    encode: float
    decode: float


def speed(library: Path, coding: Coding, values: Array, runs: int = 7) -> Speed:
    """How fast a chunk is coded by the C library; what is decoded is compared with what went in."""
    coder = NativeCoder(library, coding)
    body = coder.encode(values)
    assert (coder.decode(body, *values.shape[1:]) == values).all()
    return Speed(
        *(values.size / best(work, runs) / 1e6
          for work in (lambda: coder.encode(values), lambda: coder.decode(body, *values.shape[1:])))
    )  # fmt: skip


def best(work: Callable[[], object], runs: int) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def layouts(values: Array) -> Iterator[Image.Image]:
    """The channels as 8-bit pictures: below each other, side by side in rows, and three by three as colours."""
    shifted = values.astype(np.int64) - int(values.min())  # what is taken away is given to them for nothing
    if shifted.max() > 255:
        raise ValueError("latents beyond 8 bits cannot be tiled")
    grey = shifted.astype(np.uint8)
    for across in (1, 2, 3, 4, 6, 8):
        if len(grey) % across == 0:
            yield Image.fromarray(_mosaic(grey, across))
            if len(grey) % (3 * across) == 0:
                yield Image.fromarray(np.stack([_mosaic(grey[k::3], across) for k in range(3)], -1))


def _mosaic(planes: Array, across: int) -> Array:
    count, rows, columns = planes.shape
    tiled = planes.reshape(count // across, across, rows, columns).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiled.reshape(count // across * rows, across * columns))


def shortest(values: Array, form: str, **options: Any) -> int:
    """Bytes of the layout that comes out shortest in a lossless form."""
    found = []
    for picture in layouts(values):
        file = io.BytesIO()
        picture.save(file, form, **options)
        found.append(len(file.getvalue()))
    return min(found)


def ours(coding: Coding, values: Array, library: Path) -> int:
    """Bytes of the whole stream, header and chunks included."""
    channels, rows, columns = values.shape
    step = step_of(channels, rows, columns)
    header = Header(bytes(16), "picture", 0, channels, rows, columns, values.shape, 0, step)
    return len(encode(header, values, partial(NativeCoder, library, coding)))


def _read(path: Path) -> list[Array]:
    with np.load(path) as held:
        return [held[name].astype(np.int16) for name in held.files]


def _over(sizes: Sequence[float], least: Sequence[float]) -> str:
    shares = [size / bound - 1 for size, bound in zip(sizes, least, strict=True)]
    return (
        f"{sum(sizes) / sum(least) - 1:.2%} over the entropy of its tables (worst picture {max(shares):.2%})"
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fit", type=Path)
    parser.add_argument("on", type=Path)
    parser.add_argument("--count", type=int, help="of the second file's arrays, spread over all")
    parser.add_argument("--others", action="store_true", help="lossless WebP and JPEG-LS too")
    given = parser.parse_args()
    library = coder_library()
    assert library is not None, "no C coder for this machine; install edgepress[build]"
    material, pictures = _read(given.fit), _read(given.on)
    pictures = pictures[:: max(1, len(pictures) // (given.count or len(pictures)))]
    fitted = fit(material)
    print(fitted.says())
    print(f"the model takes {len(write_codings([fitted.coding]))} bytes")
    count = sum(each.size for each in pictures)
    plain = tuple(
        fit_table(np.concatenate([each[k].ravel() for each in material])) for k in range(len(material[0]))
    )
    rows: list[tuple[str, float]] = []
    for name, coding in (("a table for each channel", plain), ("as fitted", fitted.coding)):
        sizes = [ours(coding, each, library) for each in pictures]
        print(f"{name}: {_over(sizes, [cost(coding, each) / 8 for each in pictures])}")
        rows.append((name, sum(sizes)))
    if given.others:
        import pillow_jpls  # noqa: F401

        rows.append(("lossless WebP", sum(
            shortest(each, "WEBP", lossless=True, quality=100, method=6, exact=True) for each in pictures
        )))  # fmt: skip
        rows.append(("JPEG-LS", sum(shortest(each, "JPEG-LS") for each in pictures)))
    for name, size in rows:
        print(f"{name:28} {8 * size / count:.4f} bits a value, {size / rows[1][1]:.3f} of ours")
    like = [each for each in pictures if each.shape == pictures[0].shape]
    joined = np.ascontiguousarray(np.concatenate(like * (1 + 500_000 // sum(e.size for e in like)), 1))
    for name, coding in (("a table for each channel", plain), ("as fitted", fitted.coding)):
        found = speed(library, coding, joined)
        print(f"{name}: encodes {found.encode:.0f}, decodes {found.decode:.0f} million values a second")


if __name__ == "__main__":
    main()
