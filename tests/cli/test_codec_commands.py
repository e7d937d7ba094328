"""``edgepress encode`` and ``edgepress decode``, as processes of their own where that tells more."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepress.coding.stream import find_chunks, read_header
from tests.cli.conftest import Command
from tests.codecs.made import described, smooth, write_codec
from tests.codecs.test_files import record, save
from tests.codecs.test_session import near, photograph

Process = Callable[..., Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec for pictures."""
    return write_codec(tmp_path_factory.mktemp("codec") / "blocks.edge", described())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec for recordings of two channels."""
    return write_codec(tmp_path_factory.mktemp("codec") / "sounds.edge", described(1, 2, tile=256))


def damaged(stream: Path) -> Path:
    """The stream with a byte of its second chunk changed, beside it."""
    data = bytearray(stream.read_bytes())
    data[find_chunks(bytes(data), read_header(bytes(data)))[1][0] + 9] ^= 1
    path = stream.with_name("damaged.epc")
    path.write_bytes(data)
    return path


def test_a_picture_there_and_back_by_processes(process: Process, bundle: Path, tmp_path: Path) -> None:
    pixels = photograph(50, 70)
    save(tmp_path / "photo.png", pixels)

    def run(*words: object) -> Any:
        return process("-m", "edgepress", *words, cwd=tmp_path)

    there = run("encode", "photo.png", "-o", "photo.epc", "--codec", bundle, "--rate", "0.9")
    assert (there.returncode, there.stderr) == (0, b"")
    assert there.stdout.startswith(b"photo.epc  ") and b"bits a pixel" in there.stdout
    assert read_header((tmp_path / "photo.epc").read_bytes()).rate == 1
    back = run("decode", "photo.epc", "-o", "back.png", "--codec", bundle)
    assert (back.returncode, back.stdout) == (0, b"back.png  picture 50x70x3\n")
    with Image.open(tmp_path / "back.png") as picture:
        assert near(np.asarray(picture), pixels, 12)
    assert sorted(os.listdir(tmp_path)) == ["back.png", "photo.epc", "photo.png"]


def test_several_files_into_a_folder(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    names = [save(tmp_path / f"{name}.png", photograph(20, 20 + number)) for number, name in enumerate("abc")]
    made = edgepress("encode", *names, "-o", tmp_path / "out", "--codec", bundle, "--json")
    assert made.code == 0
    report = made.data
    assert report["codec"] == "blocks" and len(report["identity"]) == 32
    assert [Path(one["stream"]).name for one in report["results"]] == ["a.epc", "b.epc", "c.epc"]
    first = report["results"][0]
    assert first["bytes"] == Path(first["stream"]).stat().st_size
    assert first["bits"] == pytest.approx(8 * first["bytes"] / 400)
    assert (first["shape"], first["kind"], first["rate"]) == ([20, 20, 3], "picture", 0)
    back = edgepress(
        "decode", *[one["stream"] for one in report["results"]], "-o", tmp_path / "b/", "--codec", bundle
    )
    assert back.code == 0
    assert sorted(os.listdir(tmp_path / "b")) == ["a.png", "b.png", "c.png"]


def test_without_an_output_the_stream_is_beside_the_file(
    edgepress: Command, bundle: Path, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9)[:, :, 0])
    assert edgepress("encode", path, "--codec", bundle).code == 0
    assert edgepress("decode", tmp_path / "a.epc", "--codec", bundle, "--force").code == 0
    with Image.open(path) as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize("channels", [1, 2])
def test_recordings(edgepress: Command, sounds: Path, tmp_path: Path, channels: int) -> None:
    samples = np.rint(smooth((3000, channels)) * 20000).astype("<i2")
    path = record(tmp_path / "a.wav", samples, 22050)
    made = edgepress("encode", path, "--codec", sounds)
    assert made.code == 0 and "bits a sample" in made.out
    assert edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / "b.wav", "--codec", sounds).code == 0
    with wave.open(str(tmp_path / "b.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, 22050)
        found = np.frombuffer(file.readframes(9999), "<i2").reshape(-1, channels)
    assert near(found, samples, 3000)
    assert edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / "c.npy", "--codec", sounds).code == 0
    assert np.array_equal(np.load(tmp_path / "c.npy"), found.T if channels == 2 else found[:, 0])


@pytest.mark.parametrize("shape", [(3, 40, 50), (40, 50), (40, 50, 3)])
def test_arrays(edgepress: Command, bundle: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = smooth(shape).astype(np.float32)
    if shape[-1] == 3:
        array = np.rint(array * 100 + 127).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    assert edgepress("encode", tmp_path / "a.npy", "--codec", bundle).code == 0
    done = edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / "b.npy", "--codec", bundle)
    assert done.code == 0
    assert near(np.load(tmp_path / "b.npy"), array, 15 if shape[-1] == 3 else 0.2)


def test_a_damaged_stream(
    edgepress: Command, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepress.coding.whole.step_of", lambda channels, rows, columns: 16)
    path = save(tmp_path / "a.png", photograph(200, 100))
    assert edgepress("encode", path, "--codec", bundle).code == 0
    bad = damaged(tmp_path / "a.epc")
    done = edgepress("decode", bad, tmp_path / "a.epc", "-o", tmp_path / "out", "--codec", bundle, "--json")
    assert done.code == 4
    assert "damaged.epc: the stream is damaged: rows " in done.err and "holds the others" in done.err
    first, second = done.data["results"]
    assert len(first["lost"]) == 1 and second["lost"] == []
    with Image.open(tmp_path / "out/damaged.png") as one, Image.open(tmp_path / "out/a.png") as other:
        low, high = first["lost"][0]
        same = (np.asarray(one) == np.asarray(other)).all((1, 2))
    assert not same[low:high].any() and same[: low - 12].all() and same[high + 12 :].all()


def test_sixteen_bits_are_noted(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", photograph(9, 9)[:, :, 0].astype(np.uint16) * 257)
    done = edgepress("encode", path, "--codec", bundle)
    assert done.code == 0 and f"note: {path} has 16 bits a sample; decoded, it has 8" in done.err


def test_a_file_that_is_no_stream_is_named(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    done = edgepress("decode", path, "-o", tmp_path / "b.png", "--codec", bundle)
    assert done.code == 4 and f"{path}: this is no edgepress stream" in done.err


def test_one_bad_file_among_several(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    good, text = save(tmp_path / "good.png", photograph(9, 9)), tmp_path / "text.png"
    text.write_text("no picture")
    nothing = tmp_path / "nothing.png"
    done = edgepress("encode", text, good, nothing, "-o", tmp_path / "out", "--codec", bundle, "--json")
    assert done.code == 4
    assert ["error" in one for one in done.data["results"]] == [True, False, True]
    assert "text.png is no picture" in done.err and "nothing.png does not exist" in done.err
    assert os.listdir(tmp_path / "out") == ["good.epc"]


def test_nothing_is_left_of_a_file_that_fails_late(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    array = np.zeros((3, 300, 40), np.float32)
    array[2, 299, 39] = np.nan
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.epc").write_bytes(b"older")
    done = edgepress("encode", tmp_path / "a.npy", "--codec", bundle, "--force")
    assert done.code == 4 and "a.npy holds a NaN" in done.err
    assert (tmp_path / "a.epc").read_bytes() == b"older"
    assert sorted(os.listdir(tmp_path)) == ["a.epc", "a.npy"]


def test_files_that_are_there_stay_without_force(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    assert edgepress("encode", path, "--codec", bundle).code == 0
    before = (tmp_path / "a.epc").read_bytes(), path.read_bytes()
    again = edgepress("encode", path, "--codec", bundle, "--rate", 3)
    assert again.code == 2 and "a.epc is there already" in again.err and "--force" in again.err
    assert edgepress("decode", tmp_path / "a.epc", "--codec", bundle).code == 2
    assert before == ((tmp_path / "a.epc").read_bytes(), path.read_bytes())
    assert edgepress("encode", path, "--codec", bundle, "--rate", 3, "--force").code == 0
    assert edgepress("encode", path, "-o", path, "--codec", bundle, "--force").code == 2
    assert path.read_bytes() == before[1]


def test_pipes(process: Process, bundle: Path, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", photograph(20, 30)).read_bytes()
    words = ("-m", "edgepress", "encode", "-", "-o", "-", "--codec", bundle)
    there = process(*words, input=picture)
    assert (there.returncode, there.stderr) == (0, b"")
    assert read_header(there.stdout).shape == (20, 30, 3)
    back = process(*words[:2], "decode", *words[3:], input=there.stdout)
    assert (back.returncode, back.stderr) == (0, b"")
    with Image.open(io.BytesIO(back.stdout)) as decoded:
        assert (decoded.format, decoded.size) == ("PNG", (30, 20))
    text = process(*words, input=b"no picture")
    assert text.returncode == 4 and text.stdout == b"" and b"no picture" in text.stderr
    assert process(*words, "--json", input=picture).returncode == 2
    assert process("-m", "edgepress", "encode", "-", "--codec", bundle, input=picture).returncode == 2


def test_names_with_points_and_folders_that_are_new(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    paths = [save(tmp_path / name, photograph(9, 9)) for name in ("a.b.png", "a.c.png")]
    assert edgepress("encode", *paths, "--codec", bundle).code == 0
    streams = [tmp_path / name for name in ("a.b.epc", "a.c.epc")]
    assert edgepress("decode", *streams, "-o", tmp_path / "out", "--codec", bundle).code == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a.b.png", "a.c.png"]
    assert edgepress("decode", streams[0], "-o", f"{tmp_path}/new/", "--codec", bundle).code == 0
    assert os.listdir(tmp_path / "new") == ["a.b.png"]
    for words in (("encode", ""), ("encode", paths[0], "-o", "")):
        assert edgepress(*words, "--codec", bundle).code == 2


def test_two_files_that_would_become_one(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    paths = [save(tmp_path / name, photograph(9, 9)) for name in ("a.png", "a.bmp")]
    done = edgepress("encode", *paths, "-o", tmp_path / "out", "--codec", bundle)
    assert done.code == 2 and "several of the files would become" in done.err
    assert not (tmp_path / "out").exists()


def test_the_codec_must_be_one(edgepress: Command, bundle: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    missing = edgepress("encode", path, "--codec", "no-such-codec")
    assert missing.code == 2 and "no-such-codec" in missing.err
    assert edgepress("encode", path, "--codec", tmp_path / "no.edge").code == 8
    other = edgepress("encode", path, "--codec", tiny_bundle)
    assert other.code == 2 and "holds no codec; edgepress run" in other.err
    assert edgepress("encode", path, "--codec", bundle).code == 0
    unnamed = edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / "b.png")
    assert unnamed.code == 2 and "which this machine does not know" in unnamed.err
    run = edgepress("run", bundle, path)
    assert run.code == 2 and "edgepress encode and decode use both" in run.err


def test_a_stream_of_another_codec(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    other = write_codec(tmp_path / "other.edge", described(identity="ab" * 16))
    path = save(tmp_path / "a.png", photograph(9, 9))
    assert edgepress("encode", path, "--codec", other).code == 0
    done = edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / "b.png", "--codec", bundle)
    assert done.code == 4 and f"made by another codec ({'ab' * 16}), not by blocks" in done.err
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("b.wav", "holds no recording"),
        ("b.xyz", "files that end in .xyz"),
        ("b", "files that end in nothing"),
    ],
)
def test_outputs_that_a_stream_cannot_become(
    edgepress: Command, bundle: Path, tmp_path: Path, output: str, words: str
) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    assert edgepress("encode", path, "--codec", bundle).code == 0
    done = edgepress("decode", tmp_path / "a.epc", "-o", tmp_path / output, "--codec", bundle)
    assert done.code == 2 and words in done.err
    assert sorted(os.listdir(tmp_path)) == ["a.epc", "a.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "high"), "'high' is no rate"),
        (("--rate", "9"), "no rate 9; it has 0 to 3"),
        (("--background", "nocolour"), "is no colour"),
    ],
)
def test_options_that_make_no_sense(
    edgepress: Command, bundle: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    done = edgepress("encode", path, "--codec", bundle, *words)
    assert done.code == 2 and said in done.err
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_folder_that_cannot_be_written(edgepress: Command, bundle: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", photograph(9, 9))
    (tmp_path / "file").write_text("no folder")
    done = edgepress("encode", path, "-o", tmp_path / "file" / "a.epc", "--codec", bundle)
    assert done.code == 11 and "cannot be written" in done.err
