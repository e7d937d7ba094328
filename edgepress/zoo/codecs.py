"""The zoo's codecs: trained by edgepress, each one safetensors file beside this one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TERMS = "trained on BSDS500 (research terms) and ImageNet photographs (ImageNet's terms); see docs/training-codecs.md"
ABOUT = {
    "walloc-f8c12": f"a picture codec whose encoder is linear: 8 × 8 pixels become 12 numbers; {_TERMS}",
    "liveaction-f16c48": f"a picture codec of a nonlinear encoder: 16 × 16 pixels become 48 numbers; {_TERMS}",
}


@dataclass(frozen=True)
class CodecFile:
    """A codec of the zoo.

    Attributes:
        name: what ``edgepress build`` takes.
    """

    name: str

    @property
    def path(self) -> Path:
        """Of the file that ``edgepress train`` wrote."""
        return Path(__file__).with_name(f"{self.name}.safetensors")

    def load(self) -> Any:
        """The :class:`edgepress.nn.codec.FrozenCodec`."""
        from edgepress.nn.codec.codec_file import read_codec_file

        return read_codec_file(self.path)

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()
