"""What a sender did on many pictures at each of its rates, and its bytes beside another's at equal agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.measurement import Measurement
from edgepress.metrics.accuracy import wilson_interval
from edgepress.metrics.equal_agreement import Counts, Quotient, at_agreement, at_rate, draws, mean_interval

_SEED = 0
_DRAWN = "95 % interval of 2000 draws of the pictures, seed 0"


@dataclass(frozen=True, eq=False)
class Attempts:
    """What came of every picture at every rate of a sender.

    Attributes:
        sizes: bytes sent, int64 ``[rates, pictures]``.
        found: the first class of the answer, int64 ``[rates, pictures]``.
    """

    sizes: np.ndarray[Any, Any]
    found: np.ndarray[Any, Any]


@dataclass(frozen=True)
class SentPoint:
    """A sender at one rate, over all pictures.

    Attributes:
        rate: as the sender is told it.
        bytes: of all that is sent for a picture, the mean.
        agreement: the share of pictures in which the first class is the teacher's for the original.
        accuracy: the share in which it is the label's; unavailable where there are none.
    """

    rate: float
    bytes: Measurement
    agreement: Measurement
    accuracy: Measurement


@dataclass(frozen=True)
class SentCurve:
    """A sender at all of its rates.

    Attributes:
        sender: its name.
        about: its settings in words.
        points: in the order of its rates, from the fewest bytes to the most.
    """

    sender: str
    about: str
    points: tuple[SentPoint, ...]


@dataclass(frozen=True)
class EqualAgreement:
    """The bytes of a sender over those of another at the same agreement.

    Attributes:
        other: the other's name.
        rate: of the first, whose agreement it is; None where the agreement was given.
        agreement: the share that it is at.
        bytes, other_bytes: a picture, of both; None where one does not reach the agreement, or passes it at once.
        ratio: the first's over the other's; below 1 the first needs fewer.
        verdict: in one sentence.
    """

    other: str
    rate: float | None
    agreement: float
    bytes: float | None
    other_bytes: float | None
    ratio: Measurement
    verdict: str


def curve(
    sender: str,
    about: str,
    rates: Sequence[float],
    attempts: Attempts,
    teacher: np.ndarray[Any, Any],
    classes: np.ndarray[Any, Any] | None,
    labels: str,
) -> SentCurve:
    """What the attempts on all pictures say.

    Args:
        sender, about, rates: the sender's own.
        attempts: of it.
        teacher: its first class for each original.
        classes: the label of each picture; None where there are none.
        labels: where they come from, in words.
    """
    weights = draws(len(teacher), seed=_SEED)
    return SentCurve(
        sender, about,
        tuple(
            _point(rate, attempts.sizes[index], attempts.found[index], teacher, classes, labels, weights)
            for index, rate in enumerate(rates)
        ),
    )  # fmt: skip


def compare_bytes(
    name: str,
    rates: Sequence[float],
    first: Attempts,
    other_name: str,
    second: Attempts,
    teacher: np.ndarray[Any, Any],
    agreements: Sequence[float],
) -> tuple[EqualAgreement, ...]:
    """A sender's bytes beside another's, at the agreement of each of its rates and at those that are given."""
    ours, theirs = (Counts(one.sizes, one.found == teacher) for one in (first, second))
    weights = draws(len(teacher), seed=_SEED)
    found = [(rate, at_rate(ours, index, theirs, weights)) for index, rate in enumerate(rates)]
    given = [(None, at_agreement(ours, share, theirs, weights)) for share in agreements]
    return tuple(_compared(name, other_name, rate, one, len(teacher)) for rate, one in [*found, *given])


def _point(
    rate: float,
    sizes: np.ndarray[Any, Any],
    found: np.ndarray[Any, Any],
    teacher: np.ndarray[Any, Any],
    classes: np.ndarray[Any, Any] | None,
    labels: str,
    weights: np.ndarray[Any, Any],
) -> SentPoint:
    count = len(teacher)
    low, high = mean_interval(sizes, weights)
    how = f"whole streams or files, mean of {count} pictures; {_DRAWN}"
    accuracy = (
        Measurement("accuracy", None, "share", "unavailable", "the pictures have no labels")
        if classes is None
        else _share("accuracy", found == classes, f"first class, {count} pictures, labels: {labels}")
    )
    return SentPoint(
        rate,
        Measurement("bytes a picture", float(sizes.mean()), "bytes", "measured", how, low, high),
        _share("agreement", found == teacher, f"same first class as the teacher's for the original, {count} pictures"),
        accuracy,
    )  # fmt: skip


def _share(name: str, right: np.ndarray[Any, Any], how: str) -> Measurement:
    count, total = int(right.sum()), len(right)
    low, high = wilson_interval(count, total)
    return Measurement(name, count / total, "share", "measured", f"{how}; 95 % Wilson interval", low, high)


def _compared(name: str, other: str, rate: float | None, found: Quotient, count: int) -> EqualAgreement:
    what = f"bytes of {name} over those of {other}, at an agreement of {found.agreement:.1%}"
    ours, theirs = (one if math.isfinite(one) else None for one in (found.first, found.second))
    if ours is None or not theirs:
        lacking = name if ours is None else other
        why = f"{lacking} does not reach an agreement of {found.agreement:.1%} at any of its rates"
        if theirs == 0 and ours is not None:
            why = f"every rate of {other} passes an agreement of {found.agreement:.1%}, so its bytes are unknown"
            theirs = None
        return EqualAgreement(
            other, rate, found.agreement, ours, theirs, Measurement(what, None, "", "unavailable", why), why
        )
    how = (
        f"{count} pictures; the other's curve is non-decreasing and straight over the logarithm of bytes; paired, "
        f"{_DRAWN}"
    )
    ratio = Measurement(what, found.value, "", "measured", how, found.low, found.high)
    words = (
        f"at {found.agreement:.1%} {name} sends {ours:,.0f} bytes and {other} {theirs:,.0f}: a ratio of "
        f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    )
    if found.high < 1:
        verdict = f"{words}; {name} needs fewer"
    elif found.low > 1:
        verdict = f"{words}; {name} needs more"
    else:
        verdict = f"{words}; these pictures do not tell which needs fewer"
    return EqualAgreement(other, rate, found.agreement, ours, theirs, ratio, verdict)
