"""Measure a picture codec beside others on a folder of pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgepress.errors import DataError, EdgepressError, MissingExtraError, UsageError
from edgepress.evaluate.classifier import NONE, Classifier, open_classifier
from edgepress.evaluate.comparison import Comparison, Curve, beside
from edgepress.evaluate.picture_codec import Picture, PictureCodec
from edgepress.evaluate.trial import Trial, coded, compare, point
from edgepress.inputs import read_value
from edgepress.inputs.image import pixels
from edgepress.inputs.labelled import find_labelled
from edgepress.progress import Progress, silent
from edgepress.zoo import DEFAULT

_WARM = (96, 96)  # rows and columns of the picture that every codec meets first, untimed


@dataclass(frozen=True)
class CodecEvaluation:
    """What was found.

    Attributes:
        codec: the codec under test.
        pictures, megapixels: how much was measured on.
        classifier: what judged decoded pictures, or why nothing did.
        curves: the codec's own first, then the others', all on the same pictures.
        comparisons: the codec beside each other.
        unreadable: files that could not be used, with the reason.
    """

    codec: str
    pictures: int
    megapixels: float
    classifier: str
    curves: tuple[Curve, ...]
    comparisons: tuple[Comparison, ...]
    unreadable: dict[str, str] = field(default_factory=dict)


def evaluate_codec(
    codec: PictureCodec,
    data: Path,
    others: Sequence[PictureCodec] = (),
    *,
    classifier: str = DEFAULT,
    limit: int | None = None,
    progress: Progress = silent,
) -> CodecEvaluation:
    """Run a codec and others at every rate on every picture of a folder.

    A picture that one of them does not take is left out for all, and named.

    Args:
        codec: the one under test.
        data: the folder, looked through with everything below it.
        others: those to hold it against.
        classifier: a name of the zoo or the path of a bundle; ``none`` leaves the agreement out. Where the zoo's
            cannot be built here, the agreement says why it is missing.
        limit: at most so many pictures, evenly spread.
        progress: told of each picture and codec.

    Raises:
        DataError: no picture can be used.
        UsageError: two codecs have the same name.
        EdgepressError: the classifier's bundle cannot be used.
    """
    codecs = [codec, *others]
    names = [one.name for one in codecs]
    if len(set(names)) < len(names):
        raise UsageError(f"a codec is held against itself ({', '.join(names)}); name each once")
    files = find_labelled(data, "image", (), 0).spread(limit).files
    with ExitStack() as stack:
        judge, about = _judge(stack, classifier, progress)
        trials, unreadable = _run_all(codecs, files, judge, progress)
    if not trials:
        first = next(iter(unreadable.values()))
        raise DataError(f"none of the {len(files)} files of {data} can be used; the first: {first}")
    curves = tuple(_curve(one, [trial[index] for trial in trials], about) for index, one in enumerate(codecs))
    return CodecEvaluation(
        codec.name, len(trials), sum(trial[0][0].pixels for trial in trials) / 1e6, about, curves,
        tuple(beside(curves[0], other) for other in curves[1:]), unreadable,
    )  # fmt: skip


def _judge(stack: ExitStack, name: str, progress: Progress) -> tuple[Classifier | None, str]:
    """The classifier, open for as long as the stack is, and what it is or why there is none."""
    if name == NONE:
        return None, "no classifier was asked for"
    progress(0, 1, "opening the classifier")
    try:
        judge = stack.enter_context(open_classifier(name))
    except MissingExtraError as error:
        return None, str(error)
    return judge, judge.about


Trials = list[list[Trial]]
"""Of one picture: by codec, then by rate."""


def _run_all(
    codecs: Sequence[PictureCodec], files: Sequence[Path], judge: Classifier | None, progress: Progress
) -> tuple[list[Trials], dict[str, str]]:
    found: list[Trials] = []
    unreadable: dict[str, str] = {}
    _warm_up(codecs)
    for number, file in enumerate(files):
        done, total = number * len(codecs), len(files) * len(codecs)
        try:
            picture = pixels(*read_value(file))
            label = judge.label(picture) if judge else None
            trials = []
            for index, codec in enumerate(codecs):
                progress(done + index, total, f"{file.name}, {codec.name}")
                trials.append([_try(codec, picture, rate, judge, label) for rate in codec.rates])
        except EdgepressError as error:
            unreadable[str(file)] = str(error) if str(file) in str(error) else f"{file}: {error}"
            continue
        found.append(trials)
    progress(len(files), len(files))
    return found, unreadable


def _warm_up(codecs: Sequence[PictureCodec]) -> None:
    """Let every codec load what it loads with its first picture, outside of the times."""
    ramp = np.arange(_WARM[0] * _WARM[1] * 3, dtype=np.uint32).reshape(*_WARM, 3) // 97
    for codec in codecs:
        codec.decode(codec.encode(ramp.astype(np.uint8), codec.rates[0]))


def _try(
    codec: PictureCodec, picture: Picture, rate: float, judge: Classifier | None, label: int | None
) -> Trial:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that are large, which these are meant to be
        decoded, bits, encode, decode = coded(codec, picture, rate)
    agrees = judge.label(decoded) == label if judge else None
    return compare(picture, decoded, bits, encode, decode, agrees)


def _curve(codec: PictureCodec, trials: Sequence[Sequence[Trial]], classifier: str) -> Curve:
    points = [
        point(rate, [picture[index] for picture in trials], classifier)
        for index, rate in enumerate(codec.rates)
    ]
    return Curve(
        codec.name, codec.about, tuple(sorted(points, key=lambda one: one.bits_per_pixel.value or 0.0))
    )
