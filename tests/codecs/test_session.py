"""Arrays of every form to streams and back, whole against tiles, damage, and what is refused."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepress
from edgepress.coding import whole
from edgepress.coding.stream import Header, chunk, find_chunks, read_header
from edgepress.errors import BundleError, DataError, UsageError
from edgepress.runtimes import codec_networks
from edgepress.runtimes.codec_session import CodecSession
from tests.codecs.made import described, session, smooth, write_codec

Array = np.ndarray[Any, Any]


def photograph(rows: int, columns: int, channels: int = 3) -> Array:
    """A smooth picture, uint8."""
    pixels: Array = np.rint(smooth((rows, columns, channels)) * 100 + 127).astype(np.uint8)
    return pixels


def near(found: Array, given: Array, far: float) -> bool:
    """Whether two arrays are of one shape and type, and mostly near each other."""
    close = np.abs(found.astype(np.float64) - given).mean() < far
    return found.shape == given.shape and found.dtype == given.dtype and bool(close)


@pytest.mark.parametrize(
    "shape", [(70, 101, 3), (33, 31, 3), (32, 64, 3), (1, 1, 3), (1, 90, 3), (90, 1, 3), (40, 41, 1), (40, 41), (1, 1)]
)  # fmt: skip
def test_pictures_of_any_size_come_back(codec: CodecSession, shape: tuple[int, ...]) -> None:
    picture = photograph(*shape[:2])
    picture = picture[:, :, : shape[2]] if len(shape) == 3 else picture[:, :, 0]
    assert near(codec.decode(codec.encode(picture)), picture, 12)


def test_every_rate_costs_less_than_the_one_before(codec: CodecSession) -> None:
    picture = photograph(64, 64)
    lengths = [len(codec.encode(picture, rate)) for rate in range(4)]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == 4
    assert codec.encode(picture) == codec.encode(picture, 0)
    assert codec.encode(picture, 0.3) == codec.encode(picture, 3)  # of 2, 1, 0.5 and 0.25 bits
    assert codec.encode(picture, 100.0) == codec.encode(picture, 0)


@pytest.mark.parametrize("rate", [4, -1, True, "high", 0.0, float("nan"), -0.5])
def test_rates_that_are_none(codec: CodecSession, rate: Any) -> None:
    with pytest.raises(UsageError, match="rate"):
        codec.encode(photograph(8, 8), rate)


@pytest.fixture(scope="module")
def both(codec_file: Path, free_file: Path) -> Iterator[tuple[CodecSession, CodecSession]]:
    """The same graphs, in tiles of 32 and on everything at a time."""
    with session(codec_file) as tiles, session(free_file) as at_once:
        yield tiles, at_once


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (33, 70), (64, 32), (97, 5), (31, 103), (140, 139)])
def test_tiles_give_what_the_whole_gives(
    both: tuple[CodecSession, CodecSession], rows: int, columns: int
) -> None:
    tiles, at_once = both
    picture = photograph(rows, columns)
    found, expected = (one.latents(picture, integers=True) for one in both)
    assert np.mean(found != expected) <= 0.001
    stream = tiles.encode(picture, 3)
    ours, theirs = tiles.decode(stream).astype(int), at_once.decode(stream).astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert np.mean(ours != theirs) <= 0.001


def test_latents_of_a_picture_and_of_its_stream_are_the_same(codec: CodecSession, tmp_path: Path) -> None:
    picture = photograph(50, 60)
    stream = codec.encode(picture, 1)
    (tmp_path / "a.epc").write_bytes(stream)
    integers = codec.latents(picture, 1, integers=True)
    assert integers.shape == (4, 13, 15) and integers.dtype == np.int16
    assert np.array_equal(codec.latents(stream, integers=True), integers)
    assert np.array_equal(codec.latents(tmp_path / "a.epc", integers=True), integers)
    levels = codec.latents(stream)
    assert levels.dtype == np.float32
    assert np.array_equal(levels, integers * np.float32(2))


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"), [("uint16", 32767.5, 1.0), ("float32", 1.0, 0.0), ("float64", 1.0, 0.0)]
)
def test_other_types_are_the_same_samples(
    codec: CodecSession, dtype: str, scale: float, shift: float
) -> None:
    picture = photograph(40, 50)
    samples = picture / 127.5 - 1
    if dtype == "uint16":
        made = codec.decode(codec.encode(np.rint((samples + shift) * scale).astype(dtype)))
        assert np.array_equal(made, codec.decode(codec.encode(picture)))
        return
    made = codec.decode(codec.encode(np.moveaxis(samples, -1, 0).astype(dtype)))
    assert made.dtype == np.float32 and made.shape == (3, 40, 50)
    pixels = np.moveaxis(made, 0, -1) * 127.5 + 127.5
    assert np.abs(pixels - codec.decode(codec.encode(picture))).max() < 0.51


def test_views_and_other_byte_orders(codec: CodecSession) -> None:
    picture = photograph(60, 50)
    turned = np.asfortranarray(picture)[::-1, ::2]
    assert codec.encode(turned) == codec.encode(turned.copy())
    floats = (picture[:, :, 0] / 255).astype(np.float32)
    assert codec.encode(floats.astype(">f4")) == codec.encode(floats)


def test_recordings_and_arrays_of_one_axis(sound: CodecSession) -> None:
    samples = np.rint(smooth((2, 3001)) * 20000).astype(np.int16)
    for given in (samples, samples[0], samples[:, :1], samples[:1]):
        assert near(sound.decode(sound.encode(given)), given, 3000)
    assert read_header(sound.encode(samples, sampling=16000)).sampling == 16000
    floats = (samples / 32768).astype(np.float32)
    assert np.array_equal(sound.latents(floats, integers=True), sound.latents(samples, integers=True))
    assert near(sound.decode(sound.encode(floats)), floats, 0.1)


def test_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_codec(tmp_path / "volume.edge", described(3, 1, levels=1, tile=8))
    with session(path) as codec:
        volume = smooth((9, 21, 13)).astype(np.float32)
        assert near(codec.decode(codec.encode(volume)), volume, 0.2)
        frames = np.rint(volume[..., None] * 100 + 127).astype(np.uint8)
        assert near(codec.decode(codec.encode(frames)), frames, 25)
        stream = codec.encode(volume)
        assert read_header(stream).rows == 5 * 11
        assert codec.latents(stream).shape == (2, 5, 11, 7)
        monkeypatch.setattr(whole, "step_of", lambda channels, rows, columns: 5)
        made = codec.encode(volume)
        header = read_header(made)
        assert header.step == 11  # whole frames
        place = find_chunks(made, header)[2][0] + 8
        found = codec.recover(made[:place] + bytes([made[place] ^ 1]) + made[place + 1 :])
        assert found.lost == ((4, 6),)
        assert "frames 4 to 5 of 9 are lost" in found.damage


def test_many_channels(tmp_path: Path) -> None:
    with session(write_codec(tmp_path / "five.edge", described(2, 5))) as codec:
        array = smooth((5, 30, 41)).astype(np.float32)
        assert near(codec.decode(codec.encode(array)), array, 0.2)
        with pytest.raises(DataError, match="3 channels and the codec blocks takes 5"):
            codec.encode(photograph(9, 9))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((4, 4, 3), object), "holds object"),
        (np.zeros((4, 4, 3), np.int32), "holds int32"),
        (np.zeros((4, 4, 3), bool), "holds bool"),
        (np.zeros((4, 4, 3), complex), "holds complex128"),
        (np.zeros((2, 4, 4, 3), np.uint8), "the shape"),
        (np.zeros(9, np.uint8), "the shape"),
        (np.zeros((0, 4, 3), np.uint8), "nothing to encode"),
        (np.zeros((4, 4, 2), np.uint8), "2 channels and the codec blocks takes 3"),
        (np.full((3, 9, 9), np.nan, np.float32), "NaN"),
        (np.full((3, 9, 9), np.inf, np.float32), "from inf to inf"),
        (np.full((3, 9, 9), 1e300), "from inf to inf"),
        (np.full((3, 9, 9), 200.0, np.float32), "from 200 to 200"),
        ([1, 2], "not list"),
        (None, "not NoneType"),
    ],
)
def test_values_that_are_refused(codec: CodecSession, value: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        codec.encode(value)


def test_one_nan_among_many_numbers(codec: CodecSession) -> None:
    array = np.zeros((3, 100, 100), np.float32)
    array[1, 99, 99] = np.nan
    with pytest.raises(DataError, match="NaN"):
        codec.encode(array)


@pytest.fixture
def long_picture(monkeypatch: pytest.MonkeyPatch) -> Array:
    """One whose stream has several chunks, which here are small."""
    monkeypatch.setattr(whole, "step_of", lambda channels, rows, columns: 16)
    return photograph(300, 120)


def test_a_damaged_chunk_is_told_and_the_others_decode(codec: CodecSession, long_picture: Array) -> None:
    stream = bytearray(codec.encode(long_picture))
    intact = codec.decode(bytes(stream))
    header = read_header(bytes(stream))
    chunks = find_chunks(bytes(stream), header)
    assert len(chunks) == header.chunks >= 3
    first, rows, _, _ = header.extent(1)
    stream[chunks[1][0] + 30] ^= 64
    found = codec.recover(bytes(stream))
    assert found.lost == ((4 * first, 4 * (first + rows)),)
    assert f"rows {4 * first} to {4 * (first + rows) - 1} of 300" in found.damage
    reach = 4 * 3
    above, below = slice(0, 4 * first - reach), slice(4 * (first + rows) + reach, None)
    assert np.array_equal(found.array[above], intact[above])
    assert np.array_equal(found.array[below], intact[below])
    assert found.array[4 * first + 20 : 4 * (first + rows) - 20].std() < 5
    with pytest.raises(DataError, match=r"rows .* are lost; recover"):
        codec.decode(bytes(stream))
    with pytest.raises(DataError, match="damaged"):
        codec.latents(bytes(stream))


def test_a_truncated_stream(codec: CodecSession, long_picture: Array) -> None:
    stream = codec.encode(long_picture)
    chunks = find_chunks(stream, read_header(stream))
    cut = stream[: chunks[2][0] + 5]
    found = codec.recover(cut)
    assert found.lost[-1][1] == 300 and len(found.lost) == 1 and found.lost[0][0] > 0
    head = len(read_header(stream).to_bytes())
    with pytest.raises(DataError, match="every chunk is damaged"):
        codec.recover(stream[:head])
    with pytest.raises(DataError, match="ends within its header"):
        codec.recover(stream[: head - 1])
    with pytest.raises(DataError, match="no edgepress stream"):
        codec.recover(b"")


def test_a_stream_of_another_codec_is_refused_by_name(codec: CodecSession, tmp_path: Path) -> None:
    with session(write_codec(tmp_path / "other.edge", described(identity="ab" * 16))) as other:
        stream = other.encode(photograph(9, 9))
    for use in (codec.decode, codec.recover, codec.latents):
        with pytest.raises(DataError, match=f"another codec \\({'ab' * 16}\\), not by blocks"):
            use(stream)


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": 9}, {"channels": 5}, {"rows": 9}, {"columns": 1}, {"shape": (9, 9, 2)}, {"shape": (9,)},
        {"shape": (1, 9, 9, 3)}, {"kind": "array"}, {"shape": (2**31, 2**31, 3), "rows": 2, "columns": 2},
    ],
)  # fmt: skip
def test_headers_that_fit_no_codec(codec: CodecSession, changes: dict[str, Any]) -> None:
    """Each with a right checksum: nothing is decoded, and no memory is taken."""
    header = read_header(codec.encode(photograph(9, 9)))
    made = Header(**{**vars(header), **changes}).to_bytes()
    with pytest.raises(DataError):
        codec.recover(made)


def test_what_is_too_large_for_memory_is_not_decoded_into_it(codec: CodecSession) -> None:
    header = read_header(codec.encode(photograph(9, 9)))
    side = 40_000
    made = Header(
        **{**vars(header), "shape": (side, side, 3), "rows": side // 4, "columns": side // 4, "step": 4}
    )
    with pytest.raises(DataError, match=r"too large for memory; decode it into a \.npy file"):
        codec.recover(made.to_bytes() + chunk(0, b""))


def test_levels_beyond_the_table_count_as_the_last(codec: CodecSession) -> None:
    """Integers that the codec never sends, under right checksums: escapes reach all of 16 bits."""
    header = read_header(codec.encode(photograph(8, 8)))
    values = np.full((4, 2, 2), 16000, np.int16)
    stream = whole.encode(header, values, codec._coder(0))
    assert np.isfinite(codec.latents(stream)).all()
    assert codec.latents(stream).max() == 160.0


def test_halves_of_a_codec(tmp_path: Path, codec: CodecSession) -> None:
    encoder = write_codec(tmp_path / "encoder.edge", described(), ("encoder",))
    decoder = write_codec(tmp_path / "decoder.edge", described(), ("decoder",))
    picture = photograph(20, 20)
    with session(encoder) as one, session(decoder) as other:
        stream = one.encode(picture)
        assert stream == codec.encode(picture)
        assert np.array_equal(other.decode(stream), codec.decode(stream))
        assert np.array_equal(other.latents(stream), one.latents(picture))
        with pytest.raises(UsageError, match="holds no decoder"):
            one.decode(stream)
        with pytest.raises(UsageError, match="holds no encoder"):
            other.encode(picture)


def test_a_closed_session_says_so(codec_file: Path) -> None:
    loaded = edgepress.load(codec_file)
    assert isinstance(loaded, CodecSession)
    stream = loaded.encode(photograph(9, 9))
    loaded.close()
    loaded.close()
    for work in (lambda: loaded.encode(photograph(9, 9)), lambda: loaded.decode(stream)):
        with pytest.raises(UsageError, match="closed"):
            work()


def test_one_part_of_a_codec_is_a_plain_session(codec_file: Path) -> None:
    with edgepress.load(codec_file, part="decoder") as loaded:
        assert not isinstance(loaded, CodecSession)
        assert loaded.part_name == "decoder"


def test_tables_that_do_not_fit_are_refused(tmp_path: Path, codec_file: Path) -> None:
    from tests.cli.test_bundle_commands import rewritten

    short = rewritten(codec_file, tmp_path / "short.edge", "codec/levels", b"abcd")
    with pytest.raises(BundleError, match="levels"):
        edgepress.load(short)
    wrong = rewritten(codec_file, tmp_path / "wrong.edge", "codec/codec", b"{}")
    with pytest.raises(BundleError, match="description"):
        edgepress.load(wrong)


def test_the_same_bytes_every_time(codec_file: Path) -> None:
    picture = photograph(100, 70)
    checks = set()
    for threads in (1, 2, 3):
        with session(codec_file, threads=threads) as one:
            checks.add(zlib.crc32(one.encode(picture)))
    assert len(checks) == 1


def test_threads_may_share_a_session(codec: CodecSession) -> None:
    """Pictures of other sizes and rates at the same time, and two decodings in turns."""
    pictures = [photograph(20 + 13 * number, 50) for number in range(6)]
    expected = [codec.encode(picture, number % 4) for number, picture in enumerate(pictures)]
    decoded = [codec.decode(stream) for stream in expected]
    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(codec.encode, pictures, [number % 4 for number in range(6)]))
        assert streams == expected
        arrays = list(pool.map(codec.decode, streams * 2))
    assert all(np.array_equal(one, other) for one, other in zip(arrays, decoded * 2, strict=True))
    first, second = codec.decoding(expected[4]), codec.decoding(expected[5])
    turns = [piece for pair in zip(first.pieces, second.pieces, strict=True) for piece in pair]
    assert np.array_equal(np.concatenate([piece for _, piece in turns[::2]]), decoded[4])
    assert np.array_equal(np.concatenate([piece for _, piece in turns[1::2]]), decoded[5])


def test_small_pictures_take_the_portable_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an engine takes whole tiles alone, as compiled code does; unless it was asked for by name."""
    monkeypatch.setattr(codec_networks, "_FREE", ("portable",))
    path = write_codec(tmp_path / "a.edge", described(any_size=True))
    for asked, engines in ((None, {"ort", "portable"}), ("ort", {"ort"})):
        with session(path, engine=asked) as codec:
            for side in (2, 60):
                picture = np.full((side, side, 3), 90, np.uint8)
                assert near(codec.decode(codec.encode(picture)), picture, 12)
            assert {engine for part, engine in codec._networks._runs if part == "encoder"} == engines
