"""The file that ships: one ZIP archive, stored uncompressed, its members aligned so that weights can be mapped.

::

    NAME.edge
    ├── manifest.json            what is inside, how it was made, SHA-256 of every other member
    ├── golden/0/input.npy …     inputs and what the checked graph gives for them
    └── PART/                    one folder a part ("main" where there is one)
        ├── graph.onnx           the portable graph, its weights as ONNX external data
        ├── weights.bin          every initialiser of every graph of the part, each stored once
        ├── labels.txt           class names
        ├── ort.onnx             the graph optimised for the target's ONNX Runtime
        └── aot/…                library, archive, header, sources and weights of the CPU engine, and
                                 layers.json, which says what each of its layers is
"""

from edgepress.bundle.manifest import Check, EngineFiles, Golden, Graph, Manifest, Member, Part, StoredTensor
from edgepress.bundle.reader import Bundle, open_bundle
from edgepress.bundle.writer import write_bundle

__all__ = [
    "Bundle", "Check", "EngineFiles", "Golden", "Graph", "Manifest", "Member", "Part", "StoredTensor",
    "open_bundle", "write_bundle",
]  # fmt: skip
