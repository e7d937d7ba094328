"""Figures that can serve no input, pictures of other depths, and values of the wrong type."""

from __future__ import annotations

import io
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError, UsageError
from edgepress.inputs import ArrayInput, AudioInput, ImageInput, InputKind, TextInput, prepare
from edgepress.records import RecordError, decode
from edgepress.tensor import TensorSpec
from tests.bundles import npy

IMAGE = TensorSpec("x", (1, 3, 8, 8))
GREY = TensorSpec("x", (1, 1, 8, 8))


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        (ImageInput, {"std": (0.0,)}),
        (ImageInput, {"std": (1.0, 1.0, 0.0)}),
        (ImageInput, {"std": (1e-50,)}),  # 0 in float32
        (ImageInput, {"std": (math.nan,)}),
        (ImageInput, {"mean": (math.inf,)}),
        (ImageInput, {"mean": (1e300,)}),
        (ImageInput, {"mean": ()}),
        (ImageInput, {"mean": (1.0, 2.0)}),
        (ImageInput, {"colour": "L", "mean": (1.0, 2.0, 3.0)}),
        (ImageInput, {"crop": 0.0}),
        (ImageInput, {"crop": 1.5}),
        (ImageInput, {"crop": math.nan}),
        (AudioInput, {"rate": 0}),
        (AudioInput, {"rate": 8000, "std": 0.0}),
        (AudioInput, {"rate": 8000, "mean": math.nan}),
        (TextInput, {"pad": 1 << 31}),
        (TextInput, {"offset": (1 << 31) - 1}),
        (TextInput, {"offset": -(1 << 63)}),
    ],
)
def test_figures_that_serve_no_input(kind: type[InputKind], figures: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        kind(**figures)
    with pytest.raises(RecordError):
        decode(kind, figures)


def stored(picture: Image.Image, form: str) -> bytes:
    """A picture file."""
    stream = io.BytesIO()
    picture.save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(("form", "order"), [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">"), ("PPM", "<")])
def test_sixteen_bits_are_scaled(form: str, order: str) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    if order == "<":
        picture = Image.fromarray(levels)
    else:
        picture = Image.frombytes("I;16B", (8, 8), levels.astype(">u2").tobytes())
    made = prepare(ImageInput(fit="stretch", resample="nearest"), stored(picture, form), IMAGE)
    assert np.array_equal(made[0, 0], np.rint(levels / 257).astype(np.float32))
    assert np.array_equal(made[0, 0], made[0, 2])
    grey = prepare(ImageInput(colour="L", fit="stretch", resample="nearest"), stored(picture, form), GREY)
    assert np.array_equal(grey[0, 0], made[0, 0])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_range_are_refused(dtype: type[np.generic]) -> None:
    picture = Image.fromarray(np.full((8, 8), 1, dtype))
    with pytest.raises(DataError, match="8 or 16 bits"):
        prepare(ImageInput(), stored(picture, "TIFF"), IMAGE)


@pytest.mark.parametrize("side", [11000, 12000, 60000])
def test_a_picture_that_is_too_large_is_called_so(side: int) -> None:
    from struct import pack
    from zlib import crc32

    header = b"IHDR" + pack(">IIBBBBB", side, side + 2000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + header + pack(">I", crc32(header))
    bomb += pack(">I", 10) + b"IDAT"  # without which Pillow knows no PNG
    with pytest.raises(DataError, match=r"too large.*134,217,728") as found:
        prepare(ImageInput(), bomb, IMAGE)
    assert "damaged" not in str(found.value)


def test_the_smallest_crop() -> None:
    made = prepare(ImageInput(crop=1e-6), np.full((20, 20, 3), 7, np.uint8), IMAGE)
    assert made.min() == made.max() == 7


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_bytes_will_do(convert: Any) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(prepare(ArrayInput(), convert(npy(array)), TensorSpec("x", (2, 3))), array)


@pytest.mark.parametrize("value", [None, 3, 2.5, [1, 2], {}, io.StringIO("text"), "a\0b", object()])
def test_values_of_the_wrong_type(value: Any) -> None:
    with pytest.raises(DataError):
        prepare(ArrayInput(), value, TensorSpec("x", (2, 3)))


def test_a_closed_file() -> None:
    stream = io.BytesIO(b"")
    stream.close()
    with pytest.raises(DataError, match="cannot be read"):
        prepare(ArrayInput(), stream, TensorSpec("x", (2, 3)))


def test_an_input_may_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    array = np.ones((2, 3), np.float32)
    writer = threading.Thread(target=lambda: path.write_bytes(npy(array)))
    writer.start()
    try:
        assert np.array_equal(prepare(ArrayInput(), path, TensorSpec("x", (2, 3))), array)
    finally:
        writer.join()


@pytest.mark.parametrize("value", ["é", np.array([300]), np.array([-1]), np.array([2**64 - 1], np.uint64)])
def test_tokens_must_fit_the_tensor(value: Any) -> None:
    with pytest.raises(DataError, match="does not fit"):
        prepare(TextInput(offset=100), value, TensorSpec("x", (1, 4), "uint8"))


@pytest.mark.parametrize(
    "text", ["x:", "x:x", "x:1xx3", "x:1x", "x:x1", "x:1,", "x: 1", "x:1_0", "x:+1", "x:\u0663"]
)
def test_empty_and_odd_extents_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="numbers joined by x"):
        TensorSpec.parse(text)


def test_extents() -> None:
    assert TensorSpec.parse("x:scalar:int64") == TensorSpec("x", (), "int64")
    assert TensorSpec.parse("x:1x3,4") == TensorSpec("x", (1, 3, 4))
    for text in ("x:0", "x:-1x3", f"x:{'9' * 20}"):
        with pytest.raises(UsageError, match="from 1 on"):
            TensorSpec.parse(text)
    with pytest.raises(UsageError):
        TensorSpec.parse(f"x:{'9' * 5000}")
