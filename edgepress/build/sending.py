"""A device's library makes its streams by itself: the tables that it needs, and the check that its bytes are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.bundle import Check
from edgepress.coding.frozen import read_codings
from edgepress.coding.split import Split, integers, steps_to_bytes, stream_header
from edgepress.coding.whole import encode
from edgepress.errors import CheckError
from edgepress.runtimes.coders import coder_opener
from edgepress.targets import Target
from edgepress.targets.compilers.sender import sender_source

if TYPE_CHECKING:
    from edgepress.build.engines import Compiled
    from edgepress.build.job import Job
    from edgepress.build.trial import Trial
    from edgepress.nn.student.frozen import FrozenStudent

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sending:
    """What a part sends.

    Attributes:
        split: the network that it belongs to.
        frozen: gives the student; called only when a library is linked or checked.
    """

    split: Split
    frozen: Callable[[], FrozenStudent]

    def write(self, path: Path) -> Path:
        """The tables as C source, for :func:`edgepress.targets.compilers.link.link`."""
        frozen = self.frozen()
        path.write_text(sender_source(self.split, steps_to_bytes(frozen.steps, self.split), frozen.models))
        return path

    def stream(self, latents: Array, rate: int) -> bytes:
        """The stream of float32 ``[1, latents, rows, columns]``, as Python makes it."""
        frozen = self.frozen()
        sent = integers(latents[0], frozen.steps[rate], self.split.highest)
        (coding,) = read_codings(frozen.models[rate])
        return encode(stream_header(self.split, rate), sent, coder_opener(coding))

    def emulated(self, library: bytes, latents: Array, target: Target) -> dict[str, list[int]]:
        """Hold the streams of a library for another board against Python's.

        Returns:
            ``bytes`` and ``instructions`` of the streams, by rate.

        Raises:
            CheckError: one differs.
        """
        from edgepress.hardware.emulator.sending import emulate_sender

        found = emulate_sender(library, latents, len(self.split.rates), target)
        for rate, one in enumerate(found):
            if one.stream != self.stream(latents, rate):
                raise CheckError(
                    f"the library for {target.name} does not send at rate {rate} what the definition says; leave the "
                    "engine aot out with --engines, and report it with the student"
                )
        return {
            "bytes": [len(one.stream) for one in found],
            "instructions": [one.instructions for one in found],
        }


def sent_by(job: Job, made: Compiled, trial: Trial) -> dict[str, Any]:
    """Facts of what a library makes of the latents that it gave in an emulator: ``sent``, where it is a device's."""
    sending = job.joined.sending(job.part)
    if sending is None or trial.instructions is None:
        return {}
    name = made.facts.get("image") or made.facts["files"]["library"]
    (latents,) = trial.outputs[0].values()
    return {"sent": sending.emulated((made.step.folder / name).read_bytes(), latents, job.target)}


def stream_check(trial: Mapping[str, Any]) -> Check:
    """What :func:`sent_by` found, as a check."""
    sizes, instructions = (", ".join(map(str, trial["sent"][key])) for key in ("bytes", "instructions"))
    detail = f"{trial['how']}; {sizes} bytes in {instructions} instructions, by rate"
    return Check("stream", "the definition", 1.0, 1.0, "share of streams", True, trial["origin"], detail)
