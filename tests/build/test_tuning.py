"""Measured tiles: the file, what it changes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepress.build.tune import tune
from edgepress.build.tuning import TunedTile, as_mapping, keep_tiles, read_tuning, tiles_for, tuning_file
from edgepress.bundle import open_bundle
from edgepress.errors import StorageError, TargetError, UsageError
from edgepress.targets import load_target
from tests.build.conftest import PICTURE, Edgepress

ONE = TunedTile("float32 784x96 of 144", "12x32", 10, 0.97, 0.95, 0.99)
TWO = TunedTile('uint8 "odd\n', "14x32", 8, 0.9, 0.8, 1.0)


def test_the_file_is_read_again_and_replaced_by_kernel() -> None:
    assert read_tuning() == ()
    assert keep_tiles([ONE], []) == tuning_file()
    keep_tiles([TWO], [])
    assert [tile.rows for tile in read_tuning()] == [10, 8]
    assert tiles_for(load_target("host"))["float32 784x96 of 144 by 12x32"] == 10
    assert tiles_for(load_target("x86-64-v4")) == {}
    keep_tiles([], list(as_mapping([ONE])))
    assert [tile.rows for tile in read_tuning()] == [8]
    assert "# Tiles that edgepress tune measured" in tuning_file().read_text()


@pytest.mark.parametrize(
    "text",
    ["[", "form = 1", "form = 1\ncpu = 3", 'cpu = "x"\n[[tiles]]\nrows = 0', "a = 1", "cpu = 'x'\ntiles = 2"],
)
def test_a_damaged_file_is_one_sentence(text: str) -> None:
    tuning_file().parent.mkdir(parents=True)
    tuning_file().write_text(text)
    with pytest.raises(UsageError, match="remove it to measure anew"):
        read_tuning()


def test_another_processors_file_and_a_later_form_count_as_none() -> None:
    keep_tiles([ONE], [])
    kept = tuning_file().read_text()
    tuning_file().write_text(kept.replace('cpu = "', 'cpu = "another '))
    assert read_tuning() == ()
    tuning_file().write_text(kept.replace("form = 1", "form = 9"))
    assert read_tuning() == ()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "file"))
    with pytest.raises((StorageError, UsageError)):
        keep_tiles([ONE], [])


def test_a_bundle_for_another_machine_is_refused(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle, pytest.raises(TargetError, match="only this machine"):
        tune(bundle, "main", budget=1, dry=True)


def test_tuning_a_network_and_building_it_again(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    arguments = ("build", str(cnn_onnx), *PICTURE, "--method", "none", "--engines", "aot")
    assert edgepress(*arguments, "-o", "here.edge").returncode == 0
    planned = edgepress("tune", "here.edge", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "candidates would be built" in planned.stdout
    tuned = edgepress("tune", "here.edge", "--budget", "1", "--json")
    assert tuned.returncode == 0, tuned.stderr
    found = json.loads(tuned.stdout)
    assert found["origin"] == "measured" and found["candidates"] == 1 and not found["complete"]
    assert Path(found["path"]).is_file()
    kernel = found["kernels"][0]
    assert kernel["best"]["low"] <= kernel["best"]["ratio"] <= kernel["best"]["high"]
    # What the file says is used, and told of.
    rows = int(kernel["by"].split("x")[0]) - 1
    tile = f'[[tiles]]\nshape = "{kernel["shape"]}"\nby = "{kernel["by"]}"\nrows = {rows}\n'
    text = Path(found["path"]).read_text().partition("[[tiles]]")[0]
    Path(found["path"]).write_text(f"{text}\n{tile}ratio = 0.9\nlow = 0.8\nhigh = 1.0\n")
    assert edgepress(*arguments, "-o", "again.edge").returncode == 0
    shown = edgepress("inspect", "again.edge", "--layers")
    assert shown.returncode == 0, shown.stderr
    assert f"{rows}x" in shown.stdout and "* a tile that edgepress tune measured" in shown.stdout
