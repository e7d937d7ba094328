"""Another's coder as oracle: with the same tables, ours writes no more than the published one does."""

from __future__ import annotations

import numpy as np
import pytest

from edgepress.coding import plain
from edgepress.coding.table import fit_table

constriction = pytest.importorskip("constriction")  # of edgepress[dev]


@pytest.mark.parametrize(("bits", "over"), [(10, 0.001), (12, 0.001), (14, 0.001), (15, 0.002)])
@pytest.mark.parametrize("spread", [0.3, 1.5, 9.0])
def test_as_short_as_constrictions_ans(bits: int, over: float, spread: float) -> None:
    values = np.random.default_rng(0).laplace(0, spread, 60_000).round().astype(np.int16)
    table = fit_table(values, bits)
    symbols = table.symbols_of(values).astype(np.int32)
    model = constriction.stream.model.Categorical(table.frequencies / float(1 << bits), perfect=False)
    theirs = constriction.stream.stack.AnsCoder()
    theirs.encode_reverse(symbols, model)
    escapes = int((symbols == table.symbols - 1).sum())  # whose values ours writes, too
    ours = len(plain.encode([table], values.reshape(1, 1, -1)))
    assert abs(ours - 4 * len(theirs.get_compressed())) <= over * ours + 3 * escapes + 17
