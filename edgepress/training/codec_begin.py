"""Where a codec's training begins: at the best linear codec, or at one that is trained already."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor

from edgepress.errors import UsageError
from edgepress.nn.codec import Codec, CodecConfig
from edgepress.nn.codec.codec import mirrored
from edgepress.nn.codec.convolution import Convolution
from edgepress.nn.codec.decoder import cropped
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.codec.wavelet_packet import analysis_halo
from edgepress.training.material import scaled

_GAIN = 20.0 / LATENT_UNIT  # what one band unit becomes at first
_RIDGE = 1e-6  # of the mean variance, added to each


def begin(codec: Codec, samples: Tensor, start: Codec | None = None) -> None:
    """Set a fresh codec's weights from samples ``[n, channels, *extents]``.

    Args:
        start: a trained codec. One of the same form gives all its weights. One whose decoder is that of ``codec``
            behind its dealing (see :func:`inner_form`) gives the decoder's, and the dealing begins as the linear one
            that comes nearest to its latents. Without one, encoders begin with the bands' principal components.

    Raises:
        UsageError: it has another form.
    """
    if start is not None and start.config == codec.config:
        codec.load_state_dict(start.state_dict())
        return
    inner = inner_form(codec.config)
    if start is not None and start.config != inner:
        other = "" if inner is None else f", or {inner}"
        raise UsageError(
            f"the codec to begin with has the form {start.config}; give one of {codec.config}{other}"
        )
    with torch.no_grad():
        if inner is None:
            _principal(codec, samples)
            return
        if start is None:
            start = Codec(inner)
            _principal(start, samples)
        for name in ("linear", "first", "blocks", "last"):
            getattr(codec.decoder, name).load_state_dict(getattr(start.decoder, name).state_dict())
        _principal(codec, samples)
        wanted = gathered(_latents(start, samples), 2**codec.config.refine)
        _set(codec.decoder.spread, *_regression(_latents(codec, samples), wanted))


def inner_form(config: CodecConfig) -> CodecConfig | None:
    """The codec whose decoder a refining one holds behind its dealing; None where it does not refine."""
    if not config.refine:
        return None
    return dataclasses.replace(
        config, kind="walloc", levels=config.levels - config.refine, latents=config.latents // config.dealt,
        encoder_blocks=0, refine=0,
    )  # fmt: skip


def gathered(x: Tensor, ratio: int) -> Tensor:
    """The inverse of :func:`edgepress.nn.codec.decoder.dealt_out`."""
    axes = x.dim() - 2
    split = [part for size in x.shape[2:] for part in (size // ratio, ratio)]
    x = x.reshape(*x.shape[:2], *split)
    order = [3 + 2 * axis for axis in range(axes)] + [2 + 2 * axis for axis in range(axes)]
    x = x.permute(0, 1, *order)
    return x.reshape(len(x), -1, *x.shape[2 + axes :])


def _principal(codec: Codec, samples: Tensor) -> None:
    """The best linear codec of so many latents: the principal components of the samples' bands."""
    bands = _flat(_bands(codec, samples))
    mean = bands.mean(1)
    _, vectors = torch.linalg.eigh((bands - mean[:, None]) @ (bands - mean[:, None]).T / bands.shape[1])
    basis = vectors.flip(1)[:, : codec.config.latents].T
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)  # signs are arbitrary otherwise
    _set(codec.encoder.linear, _GAIN * basis, -_GAIN * basis @ mean)
    if not codec.config.refine:
        _set(codec.decoder.linear, basis.T / _GAIN, mean)


def _latents(codec: Codec, samples: Tensor) -> Tensor:
    found: Tensor = codec.encoder.companding.inverse(codec.codes(scaled(samples))) / LATENT_UNIT
    return found


def _regression(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and bias of the convolution of 3 that comes nearest from one to the other, by least squares."""
    axes = given.dim() - 2
    shifts = []
    for place in itertools.product(range(3), repeat=axes):
        part = given
        for axis, first in enumerate(place, 2):
            part = part.narrow(axis, first, given.shape[axis] - 2)
        shifts.append(part)
    x, y = _flat(torch.stack(shifts, 2).flatten(1, 2)), _flat(cropped(wanted, 1))
    mean, target = x.mean(1), y.mean(1)
    x, y = x - mean[:, None], y - target[:, None]
    moments = x @ x.T
    moments += _RIDGE * moments.trace() / len(moments) * torch.eye(len(moments), dtype=moments.dtype)
    weights = torch.linalg.solve(moments, x @ y.T).T
    return weights, target - weights @ mean


def _bands(codec: Codec, samples: Tensor) -> Tensor:
    found: Tensor = codec.encoder.analysis(mirrored(scaled(samples), analysis_halo(codec.config.levels)))
    return found


def _flat(x: Tensor) -> Tensor:
    """``[n, channels, …]`` → float64 ``[channels, positions]``."""
    return x.movedim(1, 0).flatten(1).double()


def _set(layer: Convolution | None, weight: Tensor, bias: Tensor) -> None:
    assert layer is not None and layer.bias is not None
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    layer.bias.copy_(bias)
