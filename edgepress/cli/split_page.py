"""What ``edgepress inspect``, and a build, say of a split network."""

from __future__ import annotations

from collections.abc import Iterator

from edgepress.bundle import Bundle
from edgepress.cli.table import amount, columns, printable
from edgepress.coding.split import DEVICE, LOCAL, Split, costs_more

TRAINING = "training"  # of the manifest's method; of which a line is told here


def split_page(bundle: Bundle) -> str:
    """The network's halves, their costs and its rates, as text; empty where the bundle holds no split network."""
    split = split_in(bundle)
    if split is None:
        return ""
    whole = "the whole of it" if not split.layer else f"from {split.layer} on"
    facts = [
        ["teacher", printable(f"{split.teacher}; the server runs {whole}")],
        ["identity", split.identity],
        ["sends", f"{split.latents} x {split.rows} x {split.columns} integers, by tables of one rate each"],
        ["device", _device(split)],
        ["server", f"{amount(split.server_macs)} multiply-adds"],
    ]
    if len(split.heads) > 1:
        facts.append(["heads", printable(", ".join(split.heads))])
    trained = bundle.manifest.method.get(TRAINING)
    if isinstance(trained, dict) and "command" in trained:
        facts.append(["trained", printable(str(trained["command"]))])
    facts += [["instructions", told] for told in _instructions(bundle)]
    rows = [["rate", "beta", "bytes", "agreement"]]
    for number, rate in enumerate(split.rates):
        beta = "-" if rate.beta is None else f"{rate.beta:g}"
        size = "-" if rate.bytes is None else f"{rate.bytes:,.0f}"
        share = "-" if rate.agreement is None else f"{rate.agreement:.1%}"
        rows.append([str(number), beta, size, share])
    lines = ["split", columns(facts, indent="  "), columns(rows, right=(0, 1, 2, 3), indent="  ")]
    if warning := costs_more(split):
        lines.append(f"  {warning}")
    return "\n".join(lines)


def split_in(bundle: Bundle) -> Split | None:
    """The split network that a bundle holds, or parts of one."""
    found = (bundle.split(name) for name in bundle.manifest.parts)
    return next((split for split in found if split is not None), None)


def _device(split: Split) -> str:
    told = f"{amount(split.device_macs)} multiply-adds"
    for what, macs in (
        ("the teacher's layers that it replaces", split.replaced_macs), ("the whole teacher", split.teacher_macs),
    ):  # fmt: skip
        if macs:
            told += f", {split.device_macs / macs:.0%} of the {amount(macs)} of {what}"
    return told


def _instructions(bundle: Bundle) -> Iterator[str]:
    """The device's instructions, and those of the whole network for the device, where an emulator counted them."""
    found = {}
    for name in (DEVICE, LOCAL):
        part = bundle.manifest.parts.get(name)
        engine = part.engines.get("aot") if part is not None else None
        count = engine.facts.get("instructions") if engine is not None else None
        if isinstance(count, int) and count > 0:
            found[name] = count
    if DEVICE in found:
        told = f"{amount(found[DEVICE])} an inference on the device (emulated)"
        if LOCAL in found:
            share = found[DEVICE] / found[LOCAL]
            told += f", {share:.0%} of the {amount(found[LOCAL])} that the part local takes"
        yield told
