"""Checkpoints read into a torch network: float ones, and Hugging Face's packed BitNet ones.

A packed weight is uint8 ``[ceil(outputs / 4), inputs]``: bits 2i and 2i + 1 of row r hold the code plus one of
output ``i · rows + r``. Layers of the class ``bitlinear`` divide by ``weight_scale`` and leave the bias alone;
those of ``autobitlinear`` multiply by it, the bias too. Either may normalise its input first, by the root of the
mean square (transformers, integrations/bitnet.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from edgepress.errors import SourceError
from edgepress.nn.checkpoint_files import Checkpoint, find_checkpoint, read_tensors
from edgepress.nn.ternary_frozen import FrozenTernary

Kind = Literal["bitlinear", "autobitlinear"]
LEVELS = 127  # of a row of activations, there
_A_BYTE = 4
_NORM = "rms_norm.weight"


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


def load_checkpoint(module: nn.Module, path: Path, kind: Kind | None = None) -> None:
    """Fill a network from a checkpoint, in place; layers whose weights are packed become ternary ones.

    Args:
        module: the architecture, with ``torch.nn.Linear`` where the checkpoint has packed weights.
        path: a safetensors file, or the folder of a checkpoint.
        kind: the class of the packed layers; None takes ``linear_class`` from the folder's ``config.json``, and
            ``bitlinear`` where there is none.

    Raises:
        SourceError: it cannot be read, or holds other tensors than the architecture.
        MissingExtraError: safetensors is not installed.
    """
    checkpoint = find_checkpoint(path)
    found = read_tensors(checkpoint)
    told, epsilon = _settings(checkpoint)
    if _packed(found):
        _put_packed(module, checkpoint, found, kind or told, epsilon)
    elif checkpoint.config.get("quantization_config"):
        raise SourceError(
            f"{checkpoint.name} has the float weights of a training (online mode); save it packed, in offline mode"
        )
    _put_rest(module, checkpoint, found)


def _settings(checkpoint: Checkpoint) -> tuple[Kind, float]:
    """The class of linear layers that a checkpoint says it has, and the ε of their norms."""
    quantised = checkpoint.config.get("quantization_config") or {}
    if not isinstance(quantised, dict) or quantised.get("quant_method", "bitnet") != "bitnet":
        raise SourceError(
            f"{checkpoint.name} is quantised in another way than BitNet's; give a float checkpoint, or a BitNet one"
        )
    kind, epsilon = quantised.get("linear_class", "bitlinear"), quantised.get("rms_norm_eps", 1e-6)
    if kind not in get_args(Kind) or not isinstance(epsilon, float | int) or not 0 <= epsilon < 1:
        raise SourceError(
            f"{checkpoint.name} has layers of the class {str(kind)[:40]!r} (ε {str(epsilon)[:20]!r}); known are "
            f"{' and '.join(get_args(Kind))}"
        )
    return kind, float(epsilon)


def _packed(found: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in found.items() if name.endswith(".weight") and value.dtype == torch.uint8]


def _put_packed(
    module: nn.Module, checkpoint: Checkpoint, found: dict[str, Tensor], kind: Kind, epsilon: float
) -> None:
    """Replace the layers of packed weights, taking their tensors out of ``found``."""
    layers: dict[str, nn.Module] = dict(module.named_modules())
    for weight in _packed(found):
        name = weight.removesuffix(".weight")
        layer = layers.get(name)
        if not isinstance(layer, nn.Linear):
            raise SourceError(
                f"the network has no linear layer {name!r}, which {checkpoint.name} holds; {_other(checkpoint)}"
            )
        try:
            codes = unpack_codes(found.pop(weight), layer.out_features)
        except ValueError as error:
            raise SourceError(f"{weight!r} in {checkpoint.name} does not fit: {error}") from None
        scale = found.pop(f"{name}.weight_scale", torch.ones(1)).float()
        bias = found.pop(f"{name}.bias", None)
        if (
            codes.shape[1] != layer.in_features
            or scale.numel() != 1
            or not bool(torch.isfinite(scale) & (scale > 0))
        ):
            raise SourceError(
                f"{weight!r} in {checkpoint.name} has {codes.shape[1]} inputs and the scale "
                f"{scale.flatten().tolist()[:3]}; the network has {layer.in_features} inputs there, and a scale is "
                "one positive number"
            )
        if bias is not None and bias.shape != (layer.out_features,):
            raise SourceError(
                f"the bias of {name!r} in {checkpoint.name} does not fit {layer.out_features} outputs"
            )
        step = 1 / scale if kind == "bitlinear" else scale
        if bias is not None:
            bias = bias.float() * (1 if kind == "bitlinear" else scale)
        made: nn.Module = FrozenTernary(
            codes, step.reshape(()).expand(layer.out_features).clone(), bias, levels=LEVELS
        )
        norm = found.pop(f"{name}.{_NORM}", None)
        if norm is not None:
            made = _Normed(_norm(norm, layer.in_features, epsilon, f"{name}.{_NORM}"), made)
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, made.eval())


class _Normed(nn.Sequential):
    """A packed layer behind its norm; the checkpoint names them otherwise."""


def _norm(weight: Tensor, inputs: int, epsilon: float, name: str) -> nn.RMSNorm:
    if weight.shape != (inputs,):
        raise SourceError(f"{name!r} has the shape {tuple(weight.shape)}, not that of {inputs} inputs")
    norm = nn.RMSNorm(inputs, eps=epsilon)
    norm.weight = nn.Parameter(weight.float())
    return norm


def _put_rest(module: nn.Module, checkpoint: Checkpoint, found: Mapping[str, Tensor]) -> None:
    """Load what is not packed; every tensor has its place, and every place its tensor (tied ones have one)."""
    own = _own_tensors(module)
    tied: dict[int, set[str]] = {}
    for name, value in own.items():
        tied.setdefault(value.data_ptr() or id(value), set()).add(name)
    missing = sorted(min(names) for names in tied.values() if names.isdisjoint(found))
    strange = sorted(set(found) - set(own))
    if missing or strange:
        which = f"lacks {missing[0]!r}" if missing else f"has {strange[0]!r} beside what the network takes"
        raise SourceError(f"{checkpoint.name} {which}; {_other(checkpoint)}")
    broken = next(
        (name for name, value in found.items() if value.is_floating_point() and not value.isfinite().all()),
        "",
    )
    if broken:
        raise SourceError(f"{broken!r} in {checkpoint.name} holds NaN or infinity; download it again")
    try:
        module.load_state_dict(dict(found), strict=False)
    except RuntimeError as error:
        raise SourceError(f"{checkpoint.name} does not fit: {' '.join(str(error).split())[:200]}") from None


def _own_tensors(module: nn.Module) -> dict[str, Any]:
    """What a checkpoint has to fill: all but what the packed layers hold."""
    done = {
        f"{name}.{part}"
        for name, each in module.named_modules()
        if isinstance(each, FrozenTernary | _Normed)
        for part in each.state_dict()
    }
    return {name: value for name, value in module.state_dict(keep_vars=True).items() if name not in done}


def _other(checkpoint: Checkpoint) -> str:
    named = checkpoint.architecture
    return f"is it of another architecture{f' ({named})' if named else ''}?"
