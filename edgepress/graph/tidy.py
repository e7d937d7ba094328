"""The passes every graph goes through before anything else reads it."""

from __future__ import annotations

import onnx

from edgepress.graph.batch_norm import fold_batch_norm
from edgepress.graph.constants import fold_constants
from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.identities import remove_identities
from edgepress.graph.metadata import strip_metadata
from edgepress.graph.order import sort_nodes
from edgepress.graph.pooling import use_global_pooling
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.ternary_storage import unpack_ternary
from edgepress.graph.turned_weights import turn_weights


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Sorted, shape-inferred, constants and batch norms folded, packed weights as integers, means as pooling,
    identities and dead ends gone, no metadata.

    Raises:
        SourceError: the graph contradicts itself.
    """
    new = infer_shapes(turn_weights(unpack_ternary(remove_dead_ends(sort_nodes(strip_metadata(model))))))
    new = use_global_pooling(remove_identities(fold_batch_norm(fold_constants(new))))
    return infer_shapes(new)
