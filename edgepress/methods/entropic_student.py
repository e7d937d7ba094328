"""The method that splits a network: a small encoder on the device, the rest of the work on a server.

After Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems"
(WACV 2022). It presses no single graph: a student is distilled from its teacher, by ``edgepress train student`` or by
a build of the teacher itself, and its halves become a bundle's parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from edgepress.errors import UsageError
from edgepress.methods import Feeds, Method, Pressed

if TYPE_CHECKING:
    import onnx

    from edgepress.progress import Progress

NAME = "entropic-student"


@dataclass(frozen=True)
class EntropicStudentConfig:
    """How the parts of a student are pressed; the device's half stays in float32, because streams depend on it.

    Attributes:
        server: the server's heads: ``none`` keeps them in float32, ``int8`` presses them, ``auto`` does where int8
            passes the gate and is not slower.
        local: the whole network of ``fallback``, alike.
        cut … device: of a build that trains the student, as ``edgepress train student`` has them.
    """

    server: Literal["none", "int8", "auto"] = "none"
    local: Literal["none", "int8", "auto"] = "auto"
    cut: str = ""
    match: tuple[str, ...] | None = None
    beta: tuple[float, ...] | None = None
    latents: int | None = None
    levels: int | None = None
    hidden: int | None = None
    norm: Literal["relu", "gdn"] | None = None
    width: int | None = None
    blocks: int | None = None
    answers: float | None = None
    steps: int | None = None
    rate: float | None = None
    answer_steps: int | None = None
    answer_rate: float | None = None
    tuned: Literal["decoder", "norms", "all"] | None = None
    batch: int | None = None
    keep: int | None = None
    start: str | None = None
    seed: int | None = None
    precision: Literal["float32", "bfloat16"] | None = None
    device: str = "cpu"

    def training(self) -> dict[str, Any]:
        """What is said of the training, by name."""
        own = ("server", "local", "device")
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in own}
        return {name: value for name, value in found.items() if value is not None}


def _press(
    graph: onnx.ModelProto, calibration: Sequence[Feeds], config: Any, activations: str, progress: Progress
) -> Pressed:
    raise UsageError(f"{NAME} splits a whole network, and presses no graph; give torch code or a student")


METHOD = Method(
    NAME, "split the network between a device and a server, by a student that sends a few kilobytes",
    EntropicStudentConfig, _press,
)  # fmt: skip
