"""Take one part of a bundle out, so that a device carries nothing that it does not run."""

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
    """Write a bundle that holds ``part`` alone; where this machine trusts the whole, it trusts the part.

    Args:
        bundle: the open bundle.
        part: which part.
        output: the file to write.

    Returns:
        The new manifest.

    Raises:
        UsageError: there is no such part, or ``output`` is the bundle itself.
        StorageError: the file cannot be written.
    """
    parts = bundle.manifest.parts
    if part not in parts:
        raise UsageError(
            f"{bundle.path} has no part {part!r}{near(part, parts)}; choose one of {', '.join(parts)}"
        )
    if output.exists() and output.samefile(bundle.path):
        raise UsageError(f"{output} is the bundle itself; choose another name with -o")
    record = parts[part]
    manifest = dataclasses.replace(
        bundle.manifest,
        parts={part: record},
        targets={record.target: bundle.manifest.targets[record.target]},
        checks=tuple(check for check in bundle.manifest.checks if check.part in ("", part)),
    )
    written = write_bundle(output, manifest, {name: bundle.member(name) for name in members_of(record)})
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
