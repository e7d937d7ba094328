"""Hugging Face's packed BitNet checkpoints read into a torch network.

A packed weight is uint8 ``[ceil(outputs / 4), inputs]``: bits 2i and 2i + 1 of row r hold the code plus one of
output ``i · rows + r``. Layers of the class ``bitlinear`` divide by ``weight_scale`` and leave the bias alone;
those of ``autobitlinear`` multiply by it, the bias too (transformers, integrations/bitnet.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgepress.errors import SourceError
from edgepress.nn.ternary_frozen import FrozenTernary

LEVELS = 127  # of a row of activations, there
_A_BYTE = 4


def pack_codes(codes: Tensor) -> Tensor:
    """int8 codes ``[outputs, inputs]`` as Hugging Face packs them."""
    rows = -(-len(codes) // _A_BYTE)
    padded = torch.zeros(rows * _A_BYTE, *codes.shape[1:], dtype=torch.uint8)
    padded[: len(codes)] = (codes + 1).to(torch.uint8)
    packed = torch.zeros(rows, *codes.shape[1:], dtype=torch.uint8)
    for place in range(_A_BYTE):
        packed |= padded[place * rows : (place + 1) * rows] << (2 * place)
    return packed


def unpack_codes(packed: Tensor, outputs: int) -> Tensor:
    """int8 codes ``[outputs, inputs]`` of a packed weight.

    Raises:
        ValueError: the rows are not those of so many outputs, or a code is no −1, 0 or 1.
    """
    if packed.dtype != torch.uint8 or packed.dim() != 2 or len(packed) != -(-outputs // _A_BYTE):
        raise ValueError(f"{packed.dtype} of shape {tuple(packed.shape)} does not pack {outputs} outputs")
    parts = [((packed >> (2 * place)) & 3).to(torch.int8) - 1 for place in range(_A_BYTE)]
    codes = torch.cat(parts)[:outputs]
    if bool((codes == 2).any()):
        raise ValueError("a code is none of -1, 0 and 1")
    return codes


def load_bitnet(
    module: nn.Module, path: Path, kind: Literal["bitlinear", "autobitlinear"] = "bitlinear"
) -> None:
    """Fill a float network from a packed checkpoint, in place; its packed layers become ternary ones.

    Args:
        module: the architecture, with ``torch.nn.Linear`` where the checkpoint has packed weights.
        path: a safetensors file.
        kind: ``linear_class`` in the checkpoint's ``quantization_config``.

    Raises:
        SourceError: the file cannot be read, or holds other tensors than the architecture.
    """
    try:
        with safe_open(path, "pt") as file:
            found: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SourceError(
            f"{path} is no safetensors file that can be read ({error}); download it again"
        ) from None
    packed = [
        name for name, value in found.items() if name.endswith(".weight") and value.dtype == torch.uint8
    ]
    if not packed:
        raise SourceError(
            f"{path} holds no packed ternary weights; a float checkpoint loads with load_state_dict"
        )
    for weight in packed:
        name = weight.removesuffix(".weight")
        layer = dict(module.named_modules()).get(name)
        if not isinstance(layer, nn.Linear):
            raise SourceError(
                f"the network has no linear layer {name!r}, which {path.name} holds; is it another architecture?"
            )
        try:
            codes = unpack_codes(found.pop(weight), layer.out_features)
        except ValueError as error:
            raise SourceError(f"{weight} in {path.name} does not fit: {error}") from None
        scale = found.pop(f"{name}.weight_scale", torch.ones(1)).float()
        bias = found.pop(f"{name}.bias", None)
        if (
            codes.shape[1] != layer.in_features
            or scale.numel() != 1
            or not bool(torch.isfinite(scale) & (scale > 0))
        ):
            raise SourceError(
                f"{weight} in {path.name} has {codes.shape[1]} inputs and the scale {scale.flatten().tolist()[:3]}; "
                f"the network has {layer.in_features} inputs there, and a scale is one positive number"
            )
        step = 1 / scale if kind == "bitlinear" else scale
        if bias is not None:
            bias = bias.float() * (1 if kind == "bitlinear" else scale)
        frozen = FrozenTernary(codes, step.expand(layer.out_features).clone(), bias, levels=LEVELS)
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, frozen.eval())
    ours = {name for name, _ in module.named_parameters()} | {
        name for name, _ in module.named_buffers() if not isinstance(_owner(module, name), FrozenTernary)
    }
    missing, strange = sorted(ours - set(found)), sorted(set(found) - ours)
    if missing or strange:
        which = f"lacks {missing[0]!r}" if missing else f"has {strange[0]!r} beside what the network takes"
        raise SourceError(f"{path.name} {which}; is it of another architecture?")
    try:
        module.load_state_dict(found, strict=False)
    except RuntimeError as error:
        raise SourceError(f"{path.name} does not fit: {' '.join(str(error).split())[:200]}") from None


def _owner(module: nn.Module, name: str) -> nn.Module:
    return module.get_submodule(name.rpartition(".")[0])
