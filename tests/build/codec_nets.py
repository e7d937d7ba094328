"""Small codecs to build: untrained, with weights that make codes of some size."""

from __future__ import annotations

import torch

from edgepress.nn.codec import Codec, CodecConfig, FrozenCodec, freeze_codec

STEPS = (2.0, 4.0, 8.0, 16.0)


def _frozen(config: CodecConfig) -> FrozenCodec:
    torch.manual_seed(0)
    module = Codec(config)
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    with torch.no_grad():
        linear = module.encoder.linear.weight
        linear.mul_(100.0)  # type: ignore[operator]
    models = [f"model of step {step}".encode() for step in STEPS]
    return freeze_codec(module, STEPS, models)


def walloc() -> FrozenCodec:
    """For pictures in colour, factor 4."""
    return _frozen(CodecConfig(levels=2, latents=5, bits=8, width=8, blocks=1))


def liveaction() -> FrozenCodec:
    """With factorised blocks in its encoder, factor 4."""
    return _frozen(
        CodecConfig("liveaction", levels=2, latents=12, bits=8, encoder_blocks=1, width=8, blocks=1)
    )


def recording() -> FrozenCodec:
    """For recordings of two channels, factor 8."""
    return _frozen(CodecConfig(axes=1, channels=2, latents=4, bits=8, width=8, blocks=1))


def volume() -> FrozenCodec:
    """For volumes of one channel, factor 2."""
    return _frozen(
        CodecConfig("liveaction", 3, 1, levels=1, latents=4, bits=8, encoder_blocks=1, width=8, blocks=1)
    )
