"""The wavelet packet: every band is split again, so that ``levels`` splits give bands of equal rate.

Filters are those of Cohen, Daubechies and Feauveau with 9 and 7 taps (CDF 9/7, ``bior4.4``; Commun. Pure Appl. Math.
45, 1992, 485–560), scaled to be nearly orthonormal. Nothing is padded here: a tile brings its surroundings along, and
what it gives equals what the whole would give there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Low-pass filters from their centre outwards; the high-pass ones are these of the other side with signs in turn.
_ANALYSIS = (
    0.8526986790094034,
    0.3774028556126536,
    -0.1106244044184234,
    -0.0238494650193800,
    0.0378284555069955,
)
_SYNTHESIS = (0.7884856164056645, 0.4180922732222122, -0.0406894176095584, -0.0645388826289385)
_TAPS = 9  # of a row of filter values, low and high pass alike
_PAIRS = 5  # pairs of band values that two samples are made of
_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)


def analysis_halo(levels: int) -> tuple[int, int]:
    """Samples that an analysis needs before and after those it is for, along each axis."""
    return 4 * (2**levels - 1), 3 * (2**levels - 1)


def synthesis_halo(levels: int) -> int:
    """Band values that a synthesis needs at each side of those it is for, along each axis."""
    halo = 0
    for _ in range(levels):
        halo = -(-halo // 2) + _PAIRS // 2
    return halo


class Analysis(nn.Module):
    """Samples ``[n, channels, *extents]`` → bands ``[n, channels · 2^(levels · axes), *extents / 2^levels]``.

    Each extent is a multiple of ``2^levels`` and the halo more. A band's number, in binary, tells low (0) or high (1)
    pass: the first split's last axis is the highest bit after the channel.

    Args:
        axes: 1 for recordings, 2 for pictures, 3 for volumes.
        levels: splits.
    """

    def __init__(self, axes: int, levels: int) -> None:
        super().__init__()
        self.axes, self.levels = axes, levels
        self.register_buffer("filters", _analysis_filters(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for _ in range(self.levels):
            for axis in reversed(range(self.axes)):
                shape, stride = [1] * self.axes, [1] * self.axes
                shape[axis], stride[axis] = _TAPS, 2
                weight = self.filters.repeat(x.shape[1], 1).reshape(-1, 1, *shape)
                x = _CONVOLUTIONS[self.axes - 1](x, weight, stride=stride, groups=x.shape[1])
        return x


class Synthesis(nn.Module):
    """The inverse of :class:`Analysis`; band extents are those of the result by ``2^levels``, and the halo more."""

    def __init__(self, axes: int, levels: int) -> None:
        super().__init__()
        self.axes, self.levels = axes, levels
        self.register_buffer("filters", _synthesis_filters(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for level in range(self.levels, 0, -1):
            # Two pairs at each side are not whole; and what is left over may be a sample more than is needed.
            more = 2 * (synthesis_halo(level) - _PAIRS // 2) - synthesis_halo(level - 1)
            for axis in range(self.axes):
                x = self._joined(x, axis)
                x = x.narrow(axis + 2, more, x.shape[axis + 2] - 2 * more)
        return x

    def _joined(self, x: Tensor, axis: int) -> Tensor:
        """Pairs of bands as twice as many samples along one axis."""
        shape = [1] * self.axes
        shape[axis] = _PAIRS
        groups = x.shape[1] // 2
        weight = self.filters.repeat(groups, 1, 1).reshape(2 * groups, 2, *shape)
        pairs = _CONVOLUTIONS[self.axes - 1](x, weight, groups=groups)
        extents = pairs.shape[2:]
        pairs = pairs.reshape(pairs.shape[0], groups, 2, *extents).movedim(2, axis + 3)
        return pairs.reshape(
            pairs.shape[0], groups, *[2 * size if at == axis else size for at, size in enumerate(extents)]
        )


def _symmetric(half: tuple[float, ...]) -> Tensor:
    return torch.tensor([*half[:0:-1], *half], dtype=torch.float64)


def _analysis_filters() -> Tensor:
    """float32 ``[2, 9]``: low and high pass over samples 2n − 4 … 2n + 4."""
    low, high = _symmetric(_ANALYSIS), _symmetric(_SYNTHESIS)
    signs = torch.tensor([(-1.0) ** k for k in range(-3, 4)], dtype=torch.float64)
    found = torch.zeros(2, _TAPS, dtype=torch.float64)
    found[0], found[1, 2:] = low, high * signs
    return found.float()


def _synthesis_filters() -> Tensor:
    """float32 ``[2 samples, 2 bands, 5]``: samples 2p and 2p + 1 of the pairs p − 2 … p + 2."""
    low, high = _symmetric(_SYNTHESIS), _symmetric(_ANALYSIS)
    high = high * torch.tensor([(-1.0) ** k for k in range(-4, 5)], dtype=torch.float64)
    found = torch.zeros(2, 2, _PAIRS, dtype=torch.float64)
    for odd in range(2):
        for place in range(_PAIRS):
            k = odd - 2 * (place - 2)  # from band n = p + place − 2 to sample 2p + odd
            if abs(k) <= 3:
                found[odd, 0, place] = low[k + 3]
            if abs(k - 1) <= 4:
                found[odd, 1, place] = high[k - 1 + 4]
    return found.float()
