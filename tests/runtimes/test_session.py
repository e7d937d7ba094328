"""``edgepress.load`` and what a session gives."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepress
from edgepress.bundle import open_bundle
from edgepress.errors import BundleError, DataError, UsageError
from edgepress.inputs import prepare
from edgepress.runtimes import load
from tests.bundles import IMAGE, LABELS, PREPARE, pixels, run_model, tiny_graph, write_tiny


def test_every_kind_of_value_gives_the_same(tiny_bundle: Path, photograph: Path) -> None:
    values: list[Any] = [
        photograph,
        str(photograph),
        photograph.read_bytes(),
        io.BytesIO(photograph.read_bytes()),
        pixels(1),
    ]
    with edgepress.load(tiny_bundle) as session:
        tensor = prepare(PREPARE, photograph, IMAGE)
        found = [session.run(value)["scores"] for value in (*values, tensor, {"image": photograph})]
    assert all(np.array_equal(scores, found[0]) for scores in found)
    assert np.allclose(found[0], run_model(tiny_graph(), {"image": tensor})["scores"], atol=1e-5)


def test_labels_are_sorted_and_named(tiny_bundle: Path) -> None:
    with load(tiny_bundle) as session:
        labels = session.run(pixels(1), count=3).labels
        everything = session.run(pixels(1), count=100).labels
    assert len(labels) == 3 and len(everything) == 10
    assert everything[:3] == labels
    assert all(label.name == LABELS[label.index] for label in everything)
    assert sum(label.probability for label in everything) == pytest.approx(1)


def test_a_result_outlives_its_session(tiny_bundle: Path) -> None:
    with load(tiny_bundle) as session:
        result = session.run(pixels(1))
        again = session.run(pixels(2))
    assert not np.array_equal(result["scores"], again["scores"])
    assert np.isfinite(result["scores"]).all()


def test_threads_change_nothing(tiny_bundle: Path) -> None:
    found = []
    for threads in (1, 2):
        with load(tiny_bundle, threads=threads) as session:
            found.append(session.run(pixels(1))["scores"])
    assert np.allclose(found[0], found[1], atol=1e-6)


def test_weights_are_read_from_the_map(tiny_bundle: Path) -> None:
    """The session's weights lie inside the mapped file, not beside it."""
    with load(tiny_bundle) as session:
        stored = session._engine._stored  # type: ignore[union-attr]
        start = np.frombuffer(session.bundle.member("main/weights.bin"), np.uint8).ctypes.data
        length = session.bundle.manifest.members["main/weights.bin"].bytes
        assert stored
        assert all(start <= array.ctypes.data < start + length for array in stored.values())


@pytest.mark.parametrize(
    "value", [np.zeros((3, 3), np.float32), np.zeros((1, 3, 16, 16), np.float64), b"", "nowhere.png"]
)
def test_values_that_do_not_fit(tiny_bundle: Path, value: object) -> None:
    with load(tiny_bundle) as session, pytest.raises(DataError):
        session.run(value)  # type: ignore[arg-type]


def test_an_unknown_input_names_the_near_one(tiny_bundle: Path) -> None:
    with load(tiny_bundle) as session, pytest.raises(DataError, match="did you mean 'image'"):
        session.run({"imagge": pixels(1)})


def test_parts_must_be_named(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "two.edge", parts=("encoder", "decoder"))
    with pytest.raises(UsageError, match="decoder, encoder"):
        load(path)
    with load(path, part="decoder") as session:
        assert session.part_name == "decoder"


def test_a_graph_that_is_none(tiny_bundle: Path, tmp_path: Path) -> None:
    from tests.cli.test_bundle_commands import rewritten

    path = rewritten(tiny_bundle, tmp_path / "bad.edge", "main/graph.onnx", b"no graph")
    with pytest.raises(BundleError, match="does not take"):
        load(path)


def test_closing_a_bundle_twice_is_fine(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    view = bundle.member("main/labels.txt")
    bundle.close()
    del view
    bundle.close()


@pytest.mark.parametrize("threads", [0, -1, 257, 100_000])
def test_a_number_of_threads_that_makes_no_sense(tiny_bundle: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 256"):
        load(tiny_bundle, threads=threads)
