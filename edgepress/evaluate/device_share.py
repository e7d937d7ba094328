"""What a device's share of the work takes where this machine is not the device: given, or a board's estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgepress.bundle import Bundle
from edgepress.coding.split import DEVICE
from edgepress.cost import LayerCost
from edgepress.errors import MissingExtraError, UsageError
from edgepress.evaluate.sender import CodecSender, Sender
from edgepress.evaluate.split_latency import DeviceTime
from edgepress.records import near
from edgepress.runtimes.split_session import SplitSession
from edgepress.targets import load_target


def given_times(words: Sequence[str], names: Sequence[str]) -> dict[str, DeviceTime]:
    """Times that the user knows.

    Args:
        words: ``MS`` for the first sender, or ``NAME=MS``.
        names: of the senders.

    Raises:
        UsageError: one is no time, or there is no such sender.
    """
    found = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        if equals and name not in names:
            raise UsageError(
                f"there is no {name!r} among {', '.join(names)}{near(name, names)}; --device-ms NAME=MS"
            )
        try:
            ms = float(text)
        except ValueError:
            ms = math.nan
        if not 0 <= ms < math.inf:
            raise UsageError(f"{word!r} is no time; write --device-ms 41.5 or --device-ms device=210")
        found[name if equals else names[0]] = DeviceTime(ms, "published", "given with --device-ms")
    return found


def estimated_times(senders: Sequence[Sender], board: str) -> dict[str, DeviceTime]:
    """What a board's cores would take for the networks on the device, by the same model as ``edgepress split``.

    Picture codecs have no such model: their share stays this machine's, which is in their favour.

    Raises:
        UsageError: the board's peak is not known.
        TargetError: there is no such board.
        MissingExtraError: onnx is not installed.
    """
    try:
        from edgepress.cutting.device_times import FLOAT, time_of
    except ImportError:
        raise MissingExtraError("an estimate of a network's time", "onnx", "build") from None
    target, found = load_target(board), {}
    for sender in senders:
        if isinstance(sender, CodecSender) or sender.session is None:
            continue
        part = DEVICE if isinstance(sender.session, SplitSession) else sender.session.part_name
        figure = time_of(costs_of(sender.session.bundle, part), target, FLOAT)  # integers stay what they are
        if figure.value is None:
            raise UsageError(f"{figure.how}; give its time with --device-ms")
        how = f"{target.name}, {figure.how}; the network alone"
        found[sender.name] = DeviceTime(figure.value, "estimated", how)
    return found


def costs_of(bundle: Bundle, part: str) -> list[LayerCost]:
    """What each layer of a part's portable graph costs, with what engines fuse left out."""
    import onnx

    from edgepress.graph.cost import count_nodes
    from edgepress.graph.fusing import fused

    graph = onnx.load_from_string(bytes(bundle.member(bundle.manifest.parts[part].graph.member)))
    gone = fused(graph)
    return [
        cost for position, cost in enumerate(count_nodes(graph)) if cost is not None and position not in gone
    ]
