"""What a compiled engine's layers are: which kernel computes which nodes, and what that costs.

The engine's files hold them as the member of the role ``layers``, in the order in which they run; bundles of
older builds have none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from edgepress.errors import BundleError
from edgepress.records import RecordError, decode, encode

if TYPE_CHECKING:
    from edgepress.bundle.manifest import EngineFiles
    from edgepress.bundle.reader import Bundle

ROLE = "layers"
_FORM = 1
_LARGEST = 8 << 20
_MOST = 65536
_LARGEST_COUNT = 1 << 62

OWN_KERNELS = "TVM"  # the family of what TVM's own loops compute, undivided


@dataclass(frozen=True)
class KernelLayer:
    """One call of a kernel.

    Attributes:
        name: the ONNX node's, or that with ``:part`` behind it where a node takes several kernels.
        op: that node's operator; ``DepthwiseConv`` for convolutions of single channels.
        kernel: the family that made the code: ``tile``, ``depthwise``, ``rows``, ``plain`` and so on, ``copy``,
            or ``TVM`` for TVM's own loops; empty for engines that do not tell.
        nodes: every ONNX node that is computed here, by name.
        tile: rows × columns of sums held in registers, where a family has tiles.
        shape: rows × columns of a sum and what it is over, by which measured tiles are remembered.
        tuned: whether the tile was measured by ``edgepress tune``, and not chosen by rule.
        number: which of the distinct kernels; equal numbers share their code.
        macs: multiply-adds of one inference that it stands for.
        operations: two for each multiply-add that is done, fewer than ``2 · macs`` with Winograd's convolution;
            where there are none, one for each element computed.
        weight_bytes: constants that it reads.
        activation_bytes: what else it reads, and what it writes.
        integer: whether it computes on 8-bit integers.
        weight_bits: of each weight that is −1, 0 or 1 as it is stored, what fills the last registers counted;
            None for other weights.
        left: why such weights are not stored at two bits; empty where they are.
        instructions: of one inference, where an emulator counted them; None elsewhere.
    """

    name: str
    op: str
    kernel: str
    nodes: tuple[str, ...] = ()
    tile: str = ""
    shape: str = ""
    tuned: bool = False
    number: int = 0
    macs: int = 0
    operations: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    integer: bool = False
    weight_bits: float | None = None
    left: str = ""
    instructions: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is int and not 0 <= value <= _LARGEST_COUNT:
                raise ValueError(f"{field.name} is {str(value)[:20]}")
        if self.weight_bits is not None and not 0 <= self.weight_bits <= _LARGEST_COUNT:
            raise ValueError(f"weight_bits is {self.weight_bits}")

    @property
    def bytes(self) -> int:
        """Everything that it reads and writes."""
        return self.weight_bytes + self.activation_bytes

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.operations / self.bytes if self.bytes else 0.0


@dataclass(frozen=True)
class _Listed:
    layers: tuple[KernelLayer, ...]
    form: int = _FORM


def layers_to_bytes(layers: Sequence[KernelLayer]) -> bytes:
    """Layers as a member, the same bytes for the same layers."""
    return (json.dumps(encode(_Listed(tuple(layers))), indent=0, sort_keys=True) + "\n").encode()


def layers_from_bytes(data: bytes | memoryview, where: str) -> tuple[KernelLayer, ...]:
    """Read what :func:`layers_to_bytes` wrote.

    Raises:
        BundleError: it is larger than any model's, or is no such list.
    """
    if len(data) > _LARGEST:
        raise BundleError(f"the list of layers in {where} is too large; build the bundle again")
    try:
        plain = json.loads(bytes(data))
        if isinstance(plain, dict) and plain.get("form") not in (None, _FORM):
            return ()  # of a later edgepress: what runs does not depend on it
        listed = decode(_Listed, plain)
    except (ValueError, RecursionError, RecordError) as error:
        cause = str(error) if isinstance(error, RecordError) else "it is no JSON"
        raise BundleError(
            f"the list of layers in {where} is damaged ({cause[:200]}); build the bundle again"
        ) from None
    if len(listed.layers) > _MOST:
        raise BundleError(f"the list of layers in {where} is too long; build the bundle again")
    return listed.layers


def layers_of(bundle: Bundle, files: EngineFiles) -> tuple[KernelLayer, ...]:
    """The layers of an engine of an open bundle; none where the build did not write them down.

    Raises:
        BundleError: the member is damaged.
    """
    member = files.files.get(ROLE)
    return layers_from_bytes(bundle.member(member), str(bundle.path)) if member else ()
