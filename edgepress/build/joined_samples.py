"""Examples for a part whose input is what another part gives: what that makes of its own examples, in torch."""

from __future__ import annotations

import hashlib

from edgepress.build.joined import Joined
from edgepress.codec_source import CodecSource
from edgepress.samples import Samples
from edgepress.split_source import SplitSource


def made_samples(source: CodecSource | SplitSource, by: Joined, part: str, taken: Samples) -> Samples:
    """Examples for a part, one for each of those of the part before it, the rates in turn.

    Args:
        source: the codec or the student.
        by: what joins its networks.
        part: whose examples they are.
        taken: those of the part before it.
    """
    digest = hashlib.sha256(f"{taken.digest} {source.codes_key}".encode()).hexdigest()
    return Samples(digest, f"codes of {taken.origin}", taken.count, lambda: by.examples(part, taken.load()))
