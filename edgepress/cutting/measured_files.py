"""How many bytes a picture's file takes until the model sees what it saw before: measured on pictures."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.cutting.float_graph import FloatGraph
from edgepress.cutting.sent import PICTURE_CODECS, Sent, picture_shape
from edgepress.errors import DataError, EdgepressError, UsageError
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.pillow_codecs import PillowCodec
from edgepress.inputs import ArrayInput, ImageInput, prepare
from edgepress.inputs.labelled import find_labelled
from edgepress.measurement import Measurement
from edgepress.progress import Progress
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PICTURES = 50
_PLAIN_RATE = 75


@dataclass(frozen=True)
class Trial:
    """One rate: mean bytes of a picture, and the share of pictures whose class stays the same."""

    bytes: float
    agreement: float


def measured_files(source: FloatGraph, data: Path, agreement: float, progress: Progress) -> tuple[Sent, ...]:
    """The files of the picture codecs, each at the rate at which the model agrees with itself as often as asked.

    The pictures are first made as large as the model takes them, as a device would before it sends them.

    Args:
        source: a classifier of pictures; of any other model the files are at quality 75, and agreement is not known.
        data: a folder of pictures, of which at most :data:`PICTURES` are used.
        agreement: the share of pictures whose first class is to stay the same.
        progress: told of each codec and picture.

    Raises:
        UsageError: the model takes no picture, or it is not known how one becomes its input.
        DataError: the folder has no pictures.
    """
    kind = source.prepare.get(source.inputs[0].name, ArrayInput())
    if picture_shape(source.inputs, source.prepare) is None or not isinstance(kind, ImageInput):
        raise UsageError(
            f"{source.name} does not say how a picture becomes its input, so --data cannot be used; give a bundle that "
            "was built with --image, or leave --data out"
        )
    spec = source.inputs[0]
    files = find_labelled(data, "image", (), 0).spread(PICTURES).files
    pictures, first = _pictures(files, kind, spec)
    if not pictures:
        raise DataError(f"none of the {len(files)} files of {data} can be used; the first: {first}")
    seen = _classes(source, kind, spec, pictures)
    found = []
    for name, title in PICTURE_CODECS.items():
        codec = PillowCodec(name)
        where = f"{len(pictures)} picture{'s' * (len(pictures) > 1)} of {data.resolve().name}, {codec.about}"

        def trial(rate: float, codec: PillowCodec = codec) -> Trial:
            progress(0, 1, f"{codec.name} at {rate:g}")
            streams = [codec.encode(picture, rate) for picture in pictures]
            size = statistics.fmean(map(len, streams))
            again = (
                _classes(source, kind, spec, [codec.decode(stream) for stream in streams]) if seen else None
            )
            if seen is None or again is None:
                return Trial(size, 0.0)
            return Trial(size, sum(a == b for a, b in zip(seen, again, strict=True)) / len(seen))

        found.append(_sent(title, sorted(codec.rates), trial, agreement if seen is not None else None, where))
    return tuple(found)


def _sent(
    title: str, rates: Sequence[float], trial: Callable[[float], Trial], agreement: float | None, where: str
) -> Sent:
    """The file whose agreement is the one asked for, between two neighbouring rates: agreement rises with the rate."""
    if agreement is None:
        rate = min(rates, key=lambda rate: abs(rate - _PLAIN_RATE))
        kept = Measurement("agreement", None, "", "unavailable", "the model gives no class scores")
        return Sent(title, _size(title, trial(rate).bytes, f"at quality {rate:g}, {where}"), kept)
    results = {high: trial(rates[high]) for high in (0, len(rates) - 1)}
    low, high = 0, len(rates) - 1
    kept = Measurement("agreement", agreement, "", "measured", f"first classes, {where}")
    if results[high].agreement < agreement:
        why = f"{title} keeps {results[high].agreement:.0%} of the classes at the most ({where})"
        return Sent(title, Measurement(title, None, "bytes", "unavailable", why), kept)
    while high - low > 1:
        middle = (low + high) // 2
        results[middle] = trial(rates[middle])
        if results[middle].agreement >= agreement:
            high = middle
        else:
            low = middle
    first, last = results[low], results[high]
    if first.agreement >= agreement:  # at the lowest rate there is
        kept = dataclasses.replace(kept, value=first.agreement)
        return Sent(title, _size(title, first.bytes, f"at quality {rates[low]:g}, {where}"), kept)
    part = (agreement - first.agreement) / (last.agreement - first.agreement)
    size = _size(
        title,
        first.bytes * (last.bytes / first.bytes) ** part,
        f"between quality {rates[low]:g} and {rates[high]:g}, which keep {first.agreement:.0%} and "
        f"{last.agreement:.0%} of the classes, {where}",
    )
    ends = sorted((first.bytes, last.bytes))
    return Sent(title, dataclasses.replace(size, low=ends[0], high=ends[1]), kept)


def _size(title: str, value: float, how: str) -> Measurement:
    return Measurement(title, value, "bytes", "measured", f"mean {how}", value, value)


def _pictures(files: Sequence[Path], kind: ImageInput, spec: TensorSpec) -> tuple[list[Picture], str]:
    """Pictures as large as the model takes them, uint8 in RGB, and why the first unreadable one is left out."""
    rows, columns = spec.shape[2:] if kind.layout == "NCHW" else spec.shape[1:3]
    plain = dataclasses.replace(kind, mean=(0.0,), std=(1.0,), colour="RGB", layout="NHWC")
    pixels = TensorSpec(spec.name, (1, rows, columns, 3), "uint8")
    found: list[Picture] = []
    first = ""
    for file in files:
        try:
            found.append(prepare(plain, file, pixels)[0])
        except EdgepressError as error:
            first = first or str(error)
    return found, first


def _classes(
    source: FloatGraph, kind: ImageInput, spec: TensorSpec, pictures: Sequence[Picture]
) -> list[int] | None:
    """The first class of each picture; None where the model gives no class scores."""
    from edgepress.build.reference import run_graph

    whole = dataclasses.replace(kind, crop=1.0, fit="stretch")
    feeds: list[dict[str, Any]] = [{spec.name: prepare(whole, picture, spec)} for picture in pictures]
    name = source.graph.graph.output[0].name
    results = [given[name] for given in run_graph(source.graph.SerializeToString(), feeds)]
    if results[0].size != results[0].shape[-1] or results[0].size < 2:
        return None
    return [int(np.argmax(given)) for given in results]
