"""The times of a bundle's layers on this machine, kept in the cache for ``edgepress inspect``.

They are known by the bundle's identity and the machine, so they are never another's. Losing them costs a
second of measuring.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edgepress.bundle import Bundle
from edgepress.hardware.hwbench import machine_key
from edgepress.hardware.layers import Layer
from edgepress.hardware.machine import this_machine
from edgepress.paths import cache_dir
from edgepress.records import RecordError, decode, encode

_FORM = 1
_LARGEST = 8 << 20


@dataclass(frozen=True)
class KeptLayer:
    """A layer's name and its median time in milliseconds."""

    name: str
    ms: float


@dataclass(frozen=True)
class KeptLayers:
    """What was measured.

    Attributes:
        identity, part, engine: of which bundle, part and engine.
        threads: how many the engine ran on.
        cpu: the processor.
        busy: whether the machine had other work then.
        layers: in the order in which they run.
    """

    identity: str
    part: str
    engine: str
    threads: int
    cpu: str
    busy: bool
    layers: tuple[KeptLayer, ...]
    form: int = _FORM


def keep_layers(bundle: Bundle, part: str, engine: str, threads: int, layers: list[Layer]) -> None:
    """Keep what was measured; a cache that cannot be written is no error."""
    machine = this_machine()
    kept = KeptLayers(
        bundle.identity, part, engine, threads, machine.cpu, machine.busy,
        tuple(KeptLayer(layer.name, layer.ms) for layer in layers),
    )  # fmt: skip
    path = _file(bundle, part, engine)
    partial = path.with_suffix(".part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(encode(kept)) + "\n", "utf-8")
        partial.replace(path)


def kept_layers(bundle: Bundle, part: str, engine: str) -> KeptLayers | None:
    """What was last measured of an engine on this machine; None where nothing was, or it cannot be read."""
    path = _file(bundle, part, engine)
    try:
        if path.stat().st_size > _LARGEST:
            return None
        found = decode(KeptLayers, json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError, RecordError):
        return None
    wanted = (bundle.identity, part, engine, _FORM)
    return found if (found.identity, found.part, found.engine, found.form) == wanted else None


def _file(bundle: Bundle, part: str, engine: str) -> Path:
    which = hashlib.sha256(json.dumps([bundle.identity, part, engine]).encode()).hexdigest()[:32]
    return cache_dir() / "layers" / f"{which}-{machine_key()}.json"
