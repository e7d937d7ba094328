"""How often the interval of bytes at equal agreement holds the true quotient, on made-up coders that have one.

``python -m tests.benchmarks.equal_agreement``: a picture agrees where the logarithm of the rate's bytes, with noise of
its own, passes the picture's difficulty; the second coder needs twice the bytes of the first at every agreement.
"""

from __future__ import annotations

import sys

import numpy as np

from edgepress.metrics.equal_agreement import Counts, at_agreement, at_rate, draws

PICTURES, DRAWS, STEEP, NOISE, DIFFICULTY = 300, 500, 2.0, 0.7, 1.2
OURS = (1200, 1900, 2900, 4200)
THEIRS = (1500, 2100, 2600, 3400, 3800, 4200, 4600, 4950, 5300, 5650, 6350, 7550, 13900)
TRUE = 0.5


def coder(
    generator: np.random.Generator, means: tuple[int, ...], half: float, difficulty: np.ndarray
) -> Counts:
    """A coder that reaches an agreement of a half at so many bytes."""
    sizes = np.outer(means, generator.lognormal(0, 0.35, PICTURES))
    clear = [
        STEEP * np.log(mean / half) + generator.normal(0, NOISE, PICTURES) > difficulty for mean in means
    ]
    return Counts(sizes, np.stack(clear))


def main(repetitions: int) -> None:
    """Count."""
    generator = np.random.default_rng(1)
    found = []
    for number in range(repetitions):
        difficulty = generator.normal(0, DIFFICULTY, PICTURES)
        ours, theirs = (
            coder(generator, means, half, difficulty) for means, half in ((OURS, 1500.0), (THEIRS, 3000.0))
        )
        weights = draws(PICTURES, DRAWS, number)
        found.append((at_rate(ours, 2, theirs, weights), at_agreement(ours, 0.85, theirs, weights)))
    for index, name in enumerate(("at a rate's own agreement", "at 85 %")):
        each = [pair[index] for pair in found]
        held = np.mean([one.low <= TRUE <= one.high for one in each])
        middle = np.median([one.value for one in each])
        print(
            f"{name}: the interval holds the true {TRUE} in {held:.1%} of {repetitions}; median {middle:.3f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 120)
