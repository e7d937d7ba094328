"""Examples from a folder: which half serves for what, and what becomes of files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError, UsageError
from edgepress.inputs import ArrayInput, ImageInput
from edgepress.samples import Samples, built_in, from_folder
from edgepress.tensor import TensorSpec

IMAGE = (TensorSpec("image", (1, 3, 4, 4)),)
KINDS = {"image": ImageInput()}


def photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for level in range(count):
        Image.new("RGB", (8, 8), (level, level, level)).save(folder / f"{level:02}.png")
    return folder


def levels(samples: Samples) -> set[int]:
    feeds = samples.load()
    assert len(feeds) == samples.count
    return {int(feed["image"][0, 0, 0, 0]) for feed in feeds}


@pytest.mark.parametrize(("files", "count"), [(2, 64), (5, 4), (8, 4), (9, 3)])
def test_the_halves_share_no_file(tmp_path: Path, files: int, count: int) -> None:
    folder = photos(tmp_path / "my phötos [1]", files)
    first, second = (from_folder(folder, IMAGE, KINDS, count, half) for half in (0, 1))
    assert levels(first) and levels(second) and not levels(first) & levels(second)
    assert len(levels(first) | levels(second)) == min(files, 2 * count)
    assert first.digest != second.digest and "my phötos [1]" in first.origin


def test_a_single_file_serves_for_both_and_says_so(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 1)
    for half in (0, 1):
        samples = from_folder(folder, IMAGE, KINDS, 64, half)
        assert levels(samples) == {0}
        assert samples.origin == "1 file of photos (the only one: it served to calibrate and to check)"


def test_a_bad_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 5)
    (folder / "01.png").write_bytes(b"this is no picture")
    halves = [from_folder(folder, IMAGE, KINDS, 64, half) for half in (0, 1)]
    assert [levels(samples) for samples in halves] == [{0, 3}, {2, 4}]
    assert halves[0].origin == "2 files of photos, 1 could not be read"
    Image.new("RGB", (8, 8), (1, 1, 1)).save(folder / "01.png")  # mended: it is looked at again
    assert levels(from_folder(folder, IMAGE, KINDS, 64, 0)) == {0, 2, 4}


def test_a_folder_with_nothing_that_can_be_read(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 2)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"none of the 2 files of .*photos can be read; the first: .*00\.png"):
        from_folder(folder, IMAGE, KINDS, 64)


def test_a_bad_archive_is_left_out_too(tmp_path: Path) -> None:
    inputs = (TensorSpec("a", (2,)), TensorSpec("b", (2,)))
    kinds = {"a": ArrayInput(), "b": ArrayInput()}
    np.savez(tmp_path / "1.npz", a=np.zeros(2, np.float32), b=np.ones(2, np.float32))
    np.savez(tmp_path / "2.npz", a=np.zeros(2, np.float32))
    (tmp_path / "3.npz").write_bytes((tmp_path / "1.npz").read_bytes()[:99])
    np.save(tmp_path / "4.npy", np.zeros(2, np.float32))
    (tmp_path / "4.npy").rename(tmp_path / "4.npz")
    samples = from_folder(tmp_path, inputs, kinds, 64)
    assert samples.count == 1 and "3 could not be read" in samples.origin and len(samples.load()) == 1


@pytest.mark.parametrize("count", [0, 65_537, 10**12])
def test_an_absurd_number_of_samples_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="ask for 1 to 65536"):
        built_in(IMAGE, KINDS, count, 0)
