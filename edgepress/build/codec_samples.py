"""Examples for a codec's decoder: what the encoder in torch makes of the encoder's examples."""

from __future__ import annotations

import hashlib

from edgepress.codec_source import SAMPLES, CodecSource
from edgepress.samples import Feed, Samples


def decoder_samples(codec: CodecSource, taken: Samples) -> Samples:
    """Latents with their halo, one for each of the encoder's examples, the codec's rates in turn.

    Args:
        codec: the codec.
        taken: tiles of samples with their halo.
    """

    def load() -> list[Feed]:
        from edgepress.build.codec_check import decoder_feeds

        tiles = [feed[SAMPLES] for feed in taken.load()]
        return decoder_feeds(codec.frozen(), codec.description, tiles)

    digest = hashlib.sha256(f"{taken.digest} {codec.description.to_bytes()!r}".encode()).hexdigest()
    return Samples(digest, f"codes of {taken.origin}", taken.count, load)
