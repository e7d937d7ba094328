"""The coder's speed as ratios: what holds on any machine that is not busy otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from edgepress.coding.coder import PortableCoder
from edgepress.coding.fit import fit
from edgepress.coding.table import fit_table
from edgepress.runtimes.coders import coder_library
from tests.benchmarks.coding import best, layouts, shortest, speed
from tests.coding.test_fit import correlated


@pytest.mark.slow
def test_c_decodes_far_faster_than_python_and_tables_alone_faster_again() -> None:
    library = coder_library()
    assert library is not None
    values = np.concatenate([correlated(seed, 96, 128) for seed in range(8)], 1)
    coding = fit([values]).coding
    tables = tuple(fit_table(channel) for channel in values)
    by_neighbours, by_tables = speed(library, coding, values), speed(library, tables, values)
    few, slow = np.ascontiguousarray(values[:, :64]), PortableCoder(coding)
    body = slow.encode(few)
    pythons = few.size / best(lambda: slow.decode(body, *few.shape[1:]), 2) / 1e6
    assert by_neighbours.decode > 40 * pythons
    assert by_neighbours.encode > by_neighbours.decode
    assert by_tables.encode > 1.2 * by_neighbours.encode
    assert by_tables.decode > 2 * by_neighbours.decode


def test_layouts_hold_every_value_once() -> None:
    values = np.random.default_rng(0).integers(-128, 128, (12, 5, 7)).astype(np.int16)
    wanted = np.sort(values.ravel() - int(values.min()))
    made = [np.asarray(picture) for picture in layouts(values)]
    assert len(made) == 8 and all((np.sort(each.ravel()) == wanted).all() for each in made)
    assert shortest(values, "PNG") > 0.9 * values.size
