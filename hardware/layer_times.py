"""The times of a bundle's layers: those kept from an earlier profile, or measured now where this is the target."""

from __future__ import annotations

from dataclasses import dataclass

from edgepress.bundle import Bundle, open_bundle
from edgepress.bundle.layers import layers_of
from edgepress.errors import TargetError, TrustError
from edgepress.hardware.hwbench import kept_peaks
from edgepress.hardware.kept_layers import kept_layers
from edgepress.hardware.layers import Layer, shares, with_costs
from edgepress.hardware.profile import time_layers
from edgepress.runtimes.choose import choose, why_not_target

_RUNS = 50


@dataclass(frozen=True)
class LayerTimes:
    """Layers with their times, or why there are none.

    Attributes:
        layers: in the order in which they run; empty where nothing was measured.
        how: where and when it was measured, or why it was not, in words.
    """

    layers: tuple[Layer, ...]
    how: str


def known_times(bundle: Bundle, part: str, engine: str) -> LayerTimes | None:
    """What an earlier profile on this machine kept; None where none did."""
    kept = kept_layers(bundle, part, engine)
    if kept is None:
        return None
    files = bundle.manifest.parts[part].engines[engine]
    timed = shares([(layer.name, "", layer.ms) for layer in kept.layers])
    peaks = kept_peaks()
    peak = peaks.at(kept.threads) if peaks is not None else None
    found = with_costs(timed, layers_of(bundle, files), peak, files.arena_bytes)
    busy = ", while it had other work" if kept.busy else ""
    return LayerTimes(tuple(found), f"measured on {kept.cpu}{busy}, {kept.threads} thread(s), median of runs")


def measured_times(bundle: Bundle, part: str, engine: str) -> LayerTimes:
    """Time the layers on one thread where this machine is the target and trusts the bundle's code.

    Raises:
        BundleError: a member is damaged.
    """
    mismatch = why_not_target(bundle.manifest.targets[bundle.manifest.parts[part].target])
    if mismatch:
        return LayerTimes((), f"not measured: this machine is not the target ({mismatch})")
    try:
        choice = choose(bundle, part, engine, False)
    except (TargetError, TrustError) as error:
        return LayerTimes((), f"not measured: {error}")
    with open_bundle(bundle.path) as checked:  # every member is compared with its SHA-256 before code runs
        time_layers(checked, part, engine, choice.start(checked, part, 1), _RUNS, 1)
        return known_times(checked, part, engine) or LayerTimes(
            (), "not measured: the cache cannot be written"
        )
