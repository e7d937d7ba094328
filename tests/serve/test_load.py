"""The load campaign of ``tests.benchmarks.serve_load`` for a few seconds, with a smaller crowd."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.benchmarks.serve_load import SHARES, TOKEN, crowd, make_bodies, options, report
from tests.serve.running import running

SECONDS = 2.0


def test_every_question_of_a_crowd_is_answered_right_or_refused(halves: Path, others: Path) -> None:
    bodies = make_bodies(halves, others, 6)
    with running(halves, *options(1, 4), token=TOKEN) as server:
        tally = asyncio.run(crowd(server, bodies, 50, SECONDS))
        after = asyncio.run(crowd(server, bodies, 1 + len(SHARES), 0.2))
    assert not tally.wrong + after.wrong, report(tally, SECONDS)
    assert tally.counts["good", "200"] >= 5
    assert after.counts["good", "200"] > 0
    for kind in SHARES:
        assert any(one == kind for one, _ in tally.counts), f"no client of the kind {kind}"
