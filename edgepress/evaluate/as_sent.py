"""A classifier's bundle for pictures that were cut to what it looks at before they were sent."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgepress.bundle import Bundle, write_bundle
from edgepress.bundle.extract import members_of
from edgepress.evaluate.teacher import as_it_is
from edgepress.inputs import ImageInput


def write_as_sent(bundle: Bundle, part: str, output: Path) -> Path:
    """Write the part alone, its preparation without the cut: a picture as large as its input is taken as it is."""
    record = bundle.manifest.parts[part]
    prepare = {
        name: as_it_is(kind) if isinstance(kind, ImageInput) else kind
        for name, kind in record.prepare.items()
    }
    # What was expected of whole pictures no longer holds.
    changed = dataclasses.replace(record, prepare=prepare, golden=(), tolerance={})
    manifest = dataclasses.replace(
        bundle.manifest,
        parts={part: changed},
        targets={record.target: bundle.manifest.targets[record.target]},
    )
    write_bundle(output, manifest, {name: bundle.member(name) for name in members_of(changed)})
    return output
