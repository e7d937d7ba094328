"""The codec's networks: the wavelet packet is undone, and tiles with their halo give what the whole gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.nn.codec import Codec, CodecConfig
from edgepress.nn.codec.codec import extended, filled_up, mirrored
from edgepress.nn.codec.companding import GaussianCompanding, LaplaceCompanding
from edgepress.nn.codec.convolution import FactorisedConvolution, PositionNorm, split
from edgepress.nn.codec.decoder import step_plane
from edgepress.nn.codec.wavelet_packet import Analysis, Synthesis, analysis_halo, synthesis_halo

SMALL = (
    CodecConfig(axes=1, channels=2, levels=4, latents=6, width=16, blocks=1),
    CodecConfig(axes=2, channels=3, levels=3, latents=12, width=16, blocks=2),
    CodecConfig("liveaction", axes=1, channels=1, levels=4, latents=4, encoder_blocks=1, width=16, blocks=1),
    CodecConfig("liveaction", axes=2, channels=3, levels=2, latents=8, encoder_blocks=2, width=16, blocks=1),
    CodecConfig("liveaction", axes=2, levels=3, latents=8, encoder_blocks=1, width=16, blocks=2, refine=1),
    CodecConfig("liveaction", axes=3, channels=1, levels=1, latents=4, encoder_blocks=1, width=8, blocks=1),
)


def _codec(config: CodecConfig) -> Codec:
    """With weights that make every path count."""
    torch.manual_seed(3)
    codec = Codec(config).eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return codec


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_synthesis_undoes_analysis(axes: int, levels: int, latents: int, seed: int) -> None:
    """Exactly, up to rounding, where both have their halo."""
    factor, halo = 2**levels, synthesis_halo(levels)
    before, after = analysis_halo(levels)
    size = factor * (latents + 2 * halo) + before + after
    torch.manual_seed(seed)
    x = torch.randn(1, 2, *(size,) * axes)
    restored = Synthesis(axes, levels)(Analysis(axes, levels)(x))
    wanted = x
    for axis in range(2, 2 + axes):
        wanted = wanted.narrow(axis, before + factor * halo, factor * latents)
    assert restored.shape == wanted.shape
    assert torch.allclose(restored, wanted, atol=1e-5)


def test_a_constant_is_in_the_lowest_band_alone() -> None:
    """The filters' sums: the low pass gains √2 an axis and split, the high pass gives nothing."""
    before, after = analysis_halo(3)
    bands = Analysis(2, 3)(torch.ones(1, 1, 16 + before + after, 16 + before + after))
    assert torch.allclose(bands[:, 0], torch.full_like(bands[:, 0], 8.0), atol=1e-4)
    assert bands[:, 1:].abs().max() < 1e-4


@pytest.mark.parametrize("config", SMALL, ids=lambda config: f"{config.kind}-{config.axes}d-{config.refine}")
def test_a_tile_with_its_halo_is_the_whole_there(config: CodecConfig) -> None:
    """Nothing pools over positions and nothing is padded: encoder and decoder."""
    codec, f = _codec(config), config.factor
    torch.manual_seed(0)
    x = torch.rand(1, config.channels, *(6 * f,) * config.axes) * 2 - 1
    before, after = analysis_halo(config.levels)
    padded = mirrored(x, (before, after))
    whole = codec.encoder(padded)
    tile = padded
    for axis in range(2, 2 + config.axes):
        tile = tile.narrow(axis, 2 * f, 3 * f + before + after)
    inner = (slice(None), slice(None), *(slice(2, 5),) * config.axes)
    assert whole.shape[2:] == (6,) * config.axes
    assert torch.allclose(codec.encoder(tile), whole[inner], atol=1e-4)

    halo, step = codec.decoder.halo, torch.tensor([2.0])
    latents = torch.randn(1, config.latents, *(6 + 2 * halo,) * config.axes) * 20
    given = torch.cat([latents, step_plane(step, latents)], 1)
    part = given
    for axis in range(2, 2 + config.axes):
        part = part.narrow(axis, 2, 3 + 2 * halo)
    inner = (slice(None), slice(None), *(slice(2 * f, 5 * f),) * config.axes)
    all_of_it = codec.decoder(given)
    assert all_of_it.shape[2:] == (6 * f,) * config.axes
    assert torch.allclose(codec.decoder(part), all_of_it[inner], atol=1e-4)


@pytest.mark.parametrize("config", SMALL, ids=lambda config: f"{config.kind}-{config.axes}d-{config.refine}")
def test_training_and_use_agree_away_from_edges(config: CodecConfig) -> None:
    """The padded decoder of training is the one that is used, but for edges."""
    codec = _codec(config)
    rings = codec.decoder.halo
    torch.manual_seed(1)
    latents = torch.randn(1, config.latents, *(2 * rings + 2,) * config.axes) * 20
    given = torch.cat([latents, step_plane(torch.tensor([4.0]), latents)], 1)
    used, trained = codec.decoder(given), codec.decoder(given, padded=True)
    for axis in range(2, 2 + config.axes):
        trained = trained.narrow(axis, rings * config.factor, used.shape[axis])
    assert torch.allclose(used, trained, atol=1e-4)


@pytest.mark.parametrize("companding", [GaussianCompanding(3, 10), LaplaceCompanding(3, 10)])
def test_companding_is_undone_and_bounded(companding: GaussianCompanding | LaplaceCompanding) -> None:
    """Within its range; beyond it, codes count as its ends."""
    x = torch.linspace(-700, 700, 301).reshape(1, 1, -1).expand(1, 3, -1)
    codes = companding(x)
    assert codes.abs().max() <= 512
    assert bool((codes.diff(dim=2) > 0).all())
    inner = x.abs() < 500
    assert torch.allclose(companding.inverse(codes)[inner], x[inner], rtol=2e-3, atol=1e-2)
    far = companding.inverse(torch.full((1, 3, 1), 1e6))
    assert bool(torch.isfinite(far).all())


@settings(deadline=None, max_examples=15)
@given(st.sampled_from([(768, 768), (192, 48), (96, 24), (48, 192), (64, 64), (7, 5), (5, 7)]))
def test_a_factorised_convolution_reaches_every_output(sizes: tuple[int, int]) -> None:
    """Each input counts for each output; and products in training are the convolutions."""
    inputs, outputs = sizes
    middle, first, second = split(inputs, outputs)
    assert middle % first == 0 and first * second == middle
    layer = FactorisedConvolution(2, inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.abs() + 0.1)
    x = torch.rand(2, inputs, 2, 3, requires_grad=True)
    layer(x)[:, 0].sum().backward()
    assert x.grad is not None and bool((x.grad != 0).all())
    torch.testing.assert_close(layer.eval()(x), layer.train()(x))


def test_the_best_split_of_768_is_that_of_the_paper() -> None:
    """24 and 32 groups, in either order."""
    assert sorted(split(768, 768)[1:]) == [24, 32]


def test_norm_looks_at_one_position() -> None:
    """Changing one leaves the others."""
    norm = PositionNorm(16)
    x = torch.randn(1, 16, 3, 3)
    y = x.clone()
    y[..., 1, 1] += 5
    same = torch.ones(3, 3, dtype=torch.bool)
    same[1, 1] = False
    assert torch.equal(norm(x)[..., same], norm(y)[..., same])


@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
def test_halos_are_numpys(size: int, before: int, after: int) -> None:
    """``reflect`` of samples; ``reflect`` in front and ``symmetric`` behind of latents."""
    import numpy as np

    x = np.arange(1, size + 1, dtype=np.float32)
    wanted = np.pad(x, (before, after), "reflect" if size > 1 else "edge")
    assert mirrored(torch.from_numpy(x)[None, None], (before, after))[0, 0].tolist() == wanted.tolist()
    halo = min(before, size - 1)
    front, behind = np.pad(x, (halo, 0), "reflect"), np.pad(x, (0, halo), "symmetric")
    both = np.concatenate([front[:halo], behind])
    assert extended(torch.from_numpy(x)[None, None], 2, halo)[0, 0].tolist() == both.tolist()


def test_sizes_are_brought_up_to_the_factor() -> None:
    """By repeating the last sample."""
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    filled = filled_up(x, 4)
    assert filled.shape == (1, 1, 4, 8)
    assert torch.equal(filled[0, 0, 3], filled[0, 0, 2]) and torch.equal(
        filled[0, 0, :, 7], filled[0, 0, :, 4]
    )


def test_published_forms_keep_to_their_cost() -> None:
    """At most 350 and 1,700 multiply-adds a pixel with the wavelet packet, decoders of at least two million."""
    for config, limit in (
        (CodecConfig(), 350),
        (CodecConfig("liveaction", levels=4, latents=48, encoder_blocks=3, refine=1), 1700),
    ):
        codec = Codec(config)
        products = sum(each.numel() for each in codec.encoder.parameters() if each.dim() > 1)
        packet = 9 * config.channels * config.levels * config.axes
        assert products / config.factor**2 + packet <= limit
        assert sum(each.numel() for each in codec.decoder.parameters()) >= 2_000_000


def test_forms_out_of_range_are_refused() -> None:
    """By the attribute's name."""
    with pytest.raises(ValueError, match="latents"):
        CodecConfig(latents=0)
    with pytest.raises(ValueError, match="walloc"):
        CodecConfig(encoder_blocks=2)
    with pytest.raises(ValueError, match="bands"):
        CodecConfig(levels=9)
