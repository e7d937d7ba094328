"""The codecs that come with Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import AvifImagePlugin, features

from edgepress.errors import DataError, UsageError
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.pillow_codecs import PillowCodec, names, table
from edgepress.metrics.signal import psnr_db


@pytest.fixture(scope="module")
def picture() -> Picture:
    """Slopes, an edge and a little noise, 72 × 97."""
    r, c, k = np.meshgrid(np.arange(72), np.arange(97), np.arange(3), indexing="ij")
    noise = np.random.default_rng(0).integers(0, 8, r.shape)
    return (r + c + 40 * k + 60 * (c > 50) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", names())
def test_more_bits_give_a_better_picture(name: str, picture: Picture) -> None:
    codec = PillowCodec(name)
    found = []
    for rate in (min(codec.rates), np.median(codec.rates), max(codec.rates)):
        stream = codec.encode(picture, float(rate))
        decoded = codec.decode(stream)
        assert (decoded.shape, decoded.dtype) == (picture.shape, picture.dtype)
        assert stream == codec.encode(picture, float(rate))
        found.append((len(stream), psnr_db(picture, decoded)))
    found.sort()
    assert found[0][1] < found[1][1] < found[2][1]
    assert found[0][0] < found[1][0] < found[2][0]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (17, 33)])
def test_small_and_odd_pictures(name: str, shape: tuple[int, int]) -> None:
    codec = PillowCodec(name)
    flat = np.full((*shape, 3), 200, np.uint8)
    for rate in (codec.rates[0], codec.rates[-1]):
        decoded = codec.decode(codec.encode(flat, rate))
        assert decoded.shape == flat.shape
        assert np.abs(decoded.astype(int) - 200).max() < 12


@pytest.mark.parametrize("name", names())
def test_a_stream_of_another_codec_is_refused_by_name(name: str, picture: Picture) -> None:
    other = PillowCodec("webp" if name.startswith("jpeg") else "jpeg")
    stream = other.encode(picture, 50)
    for wrong in (stream, stream[:10], b""):
        with pytest.raises(DataError, match=f"{name} cannot decode"):
            PillowCodec(name).decode(wrong)


def test_jpeg_2000_transforms_the_colours(picture: Picture) -> None:
    """Pillow leaves that off unless it is told, which costs several dB: the marker COD tells."""
    stream = PillowCodec("jpeg2000").encode(picture, 20)
    cod = stream.index(b"\xff\x52")
    assert stream[cod + 8] == 1  # the multiple component transform
    assert stream[cod + 13] == 0  # the irreversible 9/7 wavelet


def test_avif_is_decoded_on_one_thread(monkeypatch: pytest.MonkeyPatch, picture: Picture) -> None:
    """Whatever else decodes AVIF in this process keeps its own number."""
    seen, plain = [], AvifImagePlugin.AvifImageFile._open

    def spy(file: AvifImagePlugin.AvifImageFile) -> None:
        seen.append(AvifImagePlugin.DEFAULT_MAX_THREADS)
        plain(file)

    monkeypatch.setattr(AvifImagePlugin.AvifImageFile, "_open", spy)
    before, codec = AvifImagePlugin.DEFAULT_MAX_THREADS, PillowCodec("avif")
    codec.decode(codec.encode(picture, 50))
    assert (seen, AvifImagePlugin.DEFAULT_MAX_THREADS) == ([1], before)


def test_the_settings_are_said() -> None:
    for name in names():
        assert "Pillow" in PillowCodec(name).about and table()[name].about in PillowCodec(name).about


def test_what_a_codec_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="webp does not take a picture of 20000 x 1 "):
        PillowCodec("webp").encode(np.zeros((1, 20000, 3), np.uint8), 50)


def test_an_unknown_codec_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no codec 'jpg2000' \\(did you mean 'jpeg2000'"):
        PillowCodec("jpg2000")


@pytest.mark.parametrize("old", [True, False])
def test_a_pillow_without_the_codec_says_so(monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    """Older ones do not know the word at all."""
    if old:
        monkeypatch.delitem(features.modules, "avif")
    else:
        monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(UsageError, match=r"was built without avif; .* leave it out of --against"):
        PillowCodec("avif")
    assert PillowCodec("webp").name == "webp"
