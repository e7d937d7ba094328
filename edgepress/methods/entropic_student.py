"""The method that splits a network: a small encoder on the device, the rest of the work on a server.

After Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems"
(WACV 2022). It presses no single graph: ``edgepress train student`` distils a student from its teacher, and a build
makes the student's halves into a bundle's parts; what is said here is said of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    server: Literal["none", "int8", "auto"] = "none"
    local: Literal["none", "int8", "auto"] = "auto"


def _press(
    graph: onnx.ModelProto, calibration: Sequence[Feeds], config: Any, activations: str, progress: Progress
) -> Pressed:
    raise UsageError(f"{NAME} splits a whole network, and presses no graph; give torch code or a student")


METHOD = Method(
    NAME, "split the network between a device and a server, by a student that sends a few kilobytes",
    EntropicStudentConfig, _press,
)  # fmt: skip
