"""Take parts of a bundle out, so that a device carries nothing that it does not run."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from edgepress.bundle import verified
from edgepress.bundle.manifest import Manifest, Part
from edgepress.bundle.reader import Bundle
from edgepress.bundle.writer import write_bundle
from edgepress.errors import UsageError
from edgepress.records import near


def extract_part(bundle: Bundle, part: str, output: Path) -> Manifest:
    """Write a bundle that holds ``part`` alone; where this machine trusts the whole, it trusts the part too.

    Args:
        bundle: the open bundle.
        part: which part; several have commas between them.
        output: the file to write.

    Returns:
        The new manifest.

    Raises:
        UsageError: there is no such part, or ``output`` is the bundle itself.
        StorageError: the file cannot be written.
    """
    parts = bundle.manifest.parts
    wanted = {name.strip() for name in part.split(",")}
    for name in wanted - set(parts):
        raise UsageError(
            f"{bundle.path} has no part {name!r}{near(name, parts)}; choose from {', '.join(parts)}"
        )
    if output.exists() and output.samefile(bundle.path):
        raise UsageError(f"{output} is the bundle itself; choose another name with -o")
    kept = {name: record for name, record in parts.items() if name in wanted}
    boards = {record.target for record in kept.values()}
    manifest = dataclasses.replace(
        bundle.manifest,
        parts=kept,
        targets={name: board for name, board in bundle.manifest.targets.items() if name in boards},
        checks=tuple(check for check in bundle.manifest.checks if check.part in ("", *kept)),
    )
    members = sorted({name for record in kept.values() for name in members_of(record)})
    written = write_bundle(output, manifest, {name: bundle.member(name) for name in members})
    if verified.trusted(bundle.identity):
        verified.trust(hashlib.sha256(written.to_bytes()).hexdigest())
    return written


def members_of(part: Part) -> list[str]:
    """Every member that a part names, sorted, each once."""
    graphs = [part.graph, *(files.graph for files in part.engines.values() if files.graph)]
    names = {name for graph in graphs for name in (graph.member, graph.weights) if name}
    names |= {member for files in part.engines.values() for member in files.files.values()}
    names |= {kind.labels for kind in part.meaning.values() if kind.kind == "scores" and kind.labels}
    names |= {
        member for golden in part.golden for member in (*golden.inputs.values(), *golden.outputs.values())
    }
    return sorted(names | set(part.tables.values()))
