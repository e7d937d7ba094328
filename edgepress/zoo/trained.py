"""What edgepress trained itself: codecs and a student, each one safetensors file beside this one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TERMS = "trained on BSDS500 (research terms) and ImageNet photographs (ImageNet's terms)"
CODECS = {
    "walloc-f8c12": "a picture codec whose encoder is linear: 8 × 8 pixels become 12 numbers; "
    f"{_TERMS}; see docs/training-codecs.md",
    "liveaction-f16c48": "a picture codec of a nonlinear encoder: 16 × 16 pixels become 48 numbers; "
    f"{_TERMS}; see docs/training-codecs.md",
}
STUDENTS = {
    "efficientnet-lite0-student": "EfficientNet-Lite0 between a device that sends one to three kilobytes and a server; "
    f"{_TERMS}; see docs/split.md",
}


@dataclass(frozen=True)
class TrainedFile:
    """A codec or a student of the zoo.

    Attributes:
        name: what ``edgepress build`` takes.
    """

    name: str

    @property
    def path(self) -> Path:
        """Of the file that ``edgepress train`` wrote."""
        return Path(__file__).with_name(f"{self.name}.safetensors")

    @property
    def about(self) -> str:
        """One sentence, with its terms."""
        return (CODECS | STUDENTS)[self.name]

    def load(self) -> Any:
        """The :class:`edgepress.nn.codec.FrozenCodec`, or the :class:`edgepress.nn.student.frozen.FrozenStudent`."""
        if self.name in CODECS:
            from edgepress.nn.codec.codec_file import read_codec_file

            return read_codec_file(self.path)
        from edgepress.nn.student.student_file import read_student_file

        return read_student_file(self.path)

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()
