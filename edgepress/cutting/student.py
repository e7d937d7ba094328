"""What an entropic student's networks would cost: its encoder on the device, its decoder on the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgepress.cost import LayerCost
from edgepress.errors import UsageError


@dataclass(frozen=True)
class StudentWork:
    """Both of a student's networks, of the form that ``edgepress train student`` begins with.

    Attributes:
        encoder, decoder: their layers.
        taken: the shape of what the decoder takes.
        make: gives the decoder, a torch module with random weights.
    """

    encoder: tuple[LayerCost, ...]
    decoder: tuple[LayerCost, ...]
    taken: tuple[int, ...]
    make: Callable[[], Any] = field(compare=False)


def student_work(picture: Sequence[int], features: Sequence[int] | None) -> StudentWork | None:
    """What a student would cost; None where none can be trained.

    Args:
        picture: extents of the model's input, ``[channels, rows, columns]``.
        features: of the map behind the cut; None where the decoder gives the model's input again.
    """
    try:
        from edgepress.nn.student.config import StudentConfig
        from edgepress.nn.student.decoder import decoder_for
        from edgepress.nn.student.encoder import Encoder
    except ImportError:
        return None
    if len(picture) != 3 or (features is not None and len(features) != 3):
        return None
    try:
        config = StudentConfig(_three(picture), None if features is None else _three(features))
    except UsageError:
        return None
    taken = (1, config.latents + 1, *config.map)
    return StudentWork(
        counted(Encoder(config), (1, *picture)), counted(decoder_for(config), taken), taken,
        lambda: decoder_for(config),
    )  # fmt: skip


def _three(extents: Sequence[int]) -> tuple[int, int, int]:
    first, second, third = extents
    return first, second, third


def counted(module: Any, shape: Sequence[int]) -> tuple[LayerCost, ...]:
    """The convolutions of a module, from the shape of what it takes; only shapes are worked out."""
    import torch
    from torch._subclasses import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    found: list[LayerCost] = []

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            output = function(*args, **(kwargs or {}))
            if function is torch.ops.aten.convolution.default:
                found.append(_cost(len(found), args[0], args[1], output, bool(args[6])))
            return output

    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), Count():  # type: ignore[no-untyped-call]
        module(torch.empty(shape))
    return tuple(found)


def _cost(number: int, given: Any, weight: Any, output: Any, transposed: bool) -> LayerCost:
    each = weight.shape[1] * weight.shape[2:].numel()
    macs = (given if transposed else output).numel() * each
    depthwise = not transposed and weight.shape[1] == 1 and weight.shape[0] > 1
    moved = 4 * (given.numel() + output.numel())
    return LayerCost(
        f"conv{number}", "DepthwiseConv" if depthwise else "Conv", macs, 4 * weight.numel(), moved
    )
