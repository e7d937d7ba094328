"""What an entropic student's networks would cost: its encoder on the device, its decoder on the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgepress.cost import LayerCost
from edgepress.errors import UsageError


@dataclass(frozen=True)
class StudentWork:
    """The layers of both of a student's networks, of the form that ``edgepress train student`` begins with."""

    encoder: tuple[LayerCost, ...]
    decoder: tuple[LayerCost, ...]


def student_work(picture: Sequence[int], features: Sequence[int]) -> StudentWork | None:
    """What a student would cost; None where none can be trained.

    Args:
        picture: extents of the model's input, ``[channels, rows, columns]``.
        features: of the map behind the cut.
    """
    try:
        import torch

        from edgepress.nn.student.config import StudentConfig
        from edgepress.nn.student.student import Student
    except ImportError:
        return None
    if len(picture) != 3 or len(features) != 3:
        return None
    try:
        config = StudentConfig(picture=_three(picture), features=_three(features))
    except UsageError:
        return None
    with torch.device("meta"):
        student = Student(config).eval()
        given = torch.empty(1, *picture)
        encoder, latents = _counted(student.encoder, given)
        plane = torch.empty(1, 1, *latents.shape[2:])
        decoder, _ = _counted(student.decoder, torch.cat([latents, plane], 1))
    return StudentWork(encoder, decoder)


def _three(extents: Sequence[int]) -> tuple[int, int, int]:
    first, second, third = extents
    return first, second, third


def _counted(module: Any, given: Any) -> tuple[tuple[LayerCost, ...], Any]:
    """The convolutions of a module and what it gives; only shapes are worked out."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    found: list[LayerCost] = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            output = function(*args, **(kwargs or {}))
            if function is torch.ops.aten.convolution.default:
                found.append(_cost(len(found), args[0], args[1], output, bool(args[6])))
            return output

    with torch.no_grad(), Count():
        output = module(given)
    return tuple(found), output


def _cost(number: int, given: Any, weight: Any, output: Any, transposed: bool) -> LayerCost:
    each = weight.shape[1] * weight.shape[2:].numel()
    macs = (given if transposed else output).numel() * each
    depthwise = not transposed and weight.shape[1] == 1 and weight.shape[0] > 1
    moved = 4 * (given.numel() + output.numel())
    return LayerCost(f"conv{number}", "DepthwiseConv" if depthwise else "Conv", macs, 4 * weight.numel(), moved)
