"""Pictures, recordings, arrays and texts: what they become, and what is refused."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgepress.errors import DataError
from edgepress.inputs import ArrayInput, AudioInput, ImageInput, InputKind, TextInput, prepare
from edgepress.tensor import TensorSpec
from tests.bundles import npy, pixels

IMAGE = TensorSpec("x", (1, 3, 8, 8))
WAVE = TensorSpec("x", (1, 100))
KINDS: list[tuple[InputKind, TensorSpec]] = [
    (ImageInput(), IMAGE),
    (AudioInput(8000), WAVE),
    (ArrayInput(), TensorSpec("x", (2, 3))),
    (TextInput(), TensorSpec("x", (1, 16), "int64")),
]


def encoded(array: np.ndarray[Any, Any], form: str = "PNG", **options: Any) -> bytes:
    """A picture file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form, **options)
    return stream.getvalue()


def recorded(samples: np.ndarray[Any, Any], rate: int = 8000, channels: int = 1, width: int = 2) -> bytes:
    """A WAV file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return stream.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"RIFF", b"\x93NUMPY\x01\x00"]),
)
def test_any_bytes_give_a_tensor_or_a_data_error(
    kind: tuple[InputKind, TensorSpec], data: bytes, head: bytes
) -> None:
    try:
        made = prepare(kind[0], head + data, kind[1])
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert made.shape == kind[1].shape and made.dtype == kind[1].dtype


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_files_give_a_tensor_or_a_data_error(data: st.DataObject) -> None:
    files = [
        encoded(pixels(0)),
        encoded(pixels(0), "JPEG"),
        recorded(np.arange(100, dtype="<i2")),
        npy(np.ones((2, 3), np.float32)),
    ]
    which = data.draw(st.integers(0, 3))
    content = bytearray(files[which])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kind, tensor = [KINDS[0], KINDS[0], KINDS[1], KINDS[2]][which]
    try:
        made = prepare(kind, bytes(content[: data.draw(st.integers(0, len(content)))]), tensor)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert made.shape == tensor.shape


def test_crop_keeps_the_centre() -> None:
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, 8:24] = 255
    made = prepare(ImageInput(resample="nearest"), picture, IMAGE)
    assert made.min() == made.max() == 255


def test_a_crop_of_the_whole_side_stays_inside() -> None:
    """Whatever the sizes: the box is worked out in floating point."""
    for height, width in ((400, 600), (17, 5), (333, 1000)):
        picture = np.full((height, width, 3), 200, np.uint8)
        for side in range(1, 70):
            made = prepare(ImageInput(), picture, TensorSpec("image", (1, 3, side, side)))
            assert made.min() == made.max() == 200


def test_pad_keeps_proportions_and_fills_with_the_mean() -> None:
    made = prepare(ImageInput(fit="pad", mean=(10.0,)), np.full((8, 16, 3), 50, np.uint8), IMAGE)
    assert made[0, 0, 0].max() == 0 and made[0, 0, 4].min() == 40


def test_stretch_layout_colour_and_norm() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 200
    tensor = TensorSpec("x", (1, 8, 8, 3))
    made = prepare(
        ImageInput(fit="stretch", layout="NHWC", colour="BGR", mean=(1, 2, 100), std=(1, 1, 50)),
        picture,
        tensor,
    )
    assert made[0, 0, 0].tolist() == [-1, -2, 2]


def test_grey_palette_and_transparent_pictures() -> None:
    grey = encoded(pixels(0)[..., 0])
    assert prepare(ImageInput(), grey, IMAGE).shape == IMAGE.shape
    assert prepare(ImageInput(colour="L"), encoded(pixels(0)), TensorSpec("x", (1, 1, 8, 8))).shape == (
        1,
        1,
        8,
        8,
    )
    stream = io.BytesIO()
    Image.fromarray(pixels(0)).convert("P").save(stream, "PNG", transparency=0)
    assert prepare(ImageInput(), stream.getvalue(), IMAGE).shape == IMAGE.shape


def test_a_picture_is_turned_upright() -> None:
    turned = np.ascontiguousarray(pixels(0).swapaxes(0, 1)[:, ::-1])
    tag = Image.Exif()
    tag[0x0112] = 8
    upright = prepare(ImageInput(), encoded(pixels(0)), IMAGE)
    assert np.array_equal(prepare(ImageInput(), encoded(turned, exif=tag), IMAGE), upright)


def test_integer_inputs_are_rounded_and_clipped() -> None:
    tensor = TensorSpec("x", (1, 3, 8, 8), "uint8")
    made = prepare(ImageInput(std=(0.5,)), pixels(0), tensor)
    assert made.dtype == np.uint8 and made.max() == 255


def test_a_picture_with_too_many_pixels_is_not_decoded() -> None:
    from struct import pack
    from zlib import crc32

    header = b"IHDR" + pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + header + pack(">I", crc32(header)) + pack(">I", 10) + b"IDAT"
    )
    with pytest.raises(DataError, match="too large"):
        prepare(ImageInput(), bomb, IMAGE)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sample_widths(width: int) -> None:
    loud = {1: np.full(100, 192, np.uint8), 2: np.full(100, 1 << 14, "<i2"), 4: np.full(100, 1 << 30, "<i4")}
    samples = loud.get(width, np.tile(np.array([0, 0, 0x40], np.uint8), 100))
    assert np.allclose(prepare(AudioInput(8000), recorded(samples, width=width), WAVE), 0.5)


def test_recordings_are_cut_padded_and_averaged() -> None:
    short = prepare(AudioInput(8000), recorded(np.full(50, 1 << 14, "<i2")), WAVE)
    assert short[0, 49] == 0.5 and short[0, 50] == 0
    stereo = recorded(np.tile(np.array([1 << 14, 0], "<i2"), 200), channels=2)
    assert np.allclose(prepare(AudioInput(8000), stereo, WAVE), 0.25)


def test_another_sampling_rate_is_refused() -> None:
    with pytest.raises(DataError, match="16000 Hz"):
        prepare(AudioInput(8000), recorded(np.zeros(10, "<i2"), rate=16000), WAVE)


def test_arrays() -> None:
    tensor = TensorSpec("x", (1, 2, 3))
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(prepare(ArrayInput(), npy(array), tensor)[0], array)
    assert prepare(ArrayInput(), npy(array.astype(np.float64)), tensor).dtype == np.float32
    for wrong in (array.T, array[0], array.astype(np.complex64)):
        with pytest.raises(DataError):
            prepare(ArrayInput(), npy(np.ascontiguousarray(wrong)), tensor)


def test_pickles_and_archives_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.zeros(6))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError):
            prepare(ArrayInput(), tmp_path / name, TensorSpec("x", (1,)))


def test_text() -> None:
    tensor = TensorSpec("x", (1, 4), "int64")
    assert prepare(TextInput(offset=3, pad=9), "hé", tensor).tolist() == [[107, 198, 172, 9]]
    assert prepare(TextInput(), b"abcdef", tensor).tolist() == [[97, 98, 99, 100]]
    with pytest.raises(DataError, match="UTF-8"):
        prepare(TextInput(), b"\xff", tensor)
    with pytest.raises(DataError):
        prepare(TextInput(), np.zeros(5, np.int64), tensor)


def test_a_header_that_no_parser_ends() -> None:
    """NumPy's header parser raises a TokenError here, which is no ValueError."""
    for spoilt in (b"(2, (", b"'2, 3"):
        content = npy(np.ones((2, 3), np.float32)).replace(b"(2, 3)", spoilt.ljust(6))
        with pytest.raises(DataError):
            prepare(ArrayInput(), content, TensorSpec("x", (2, 3)))
