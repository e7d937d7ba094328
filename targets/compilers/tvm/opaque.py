"""PrimFuncs that are no plain loop nests (sorting, scattering, running sums): compiled whole.

Such a kernel is not divided, and its temporaries become further pointers, so that they too are
planned into the arena.
"""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import PointerType, PrimType

from edgepress.targets.compilers.tvm.expressions import INDEX, const, dtype_of, shape_of

_KEPT_ON_STACK = 256  # bytes: a smaller temporary stays a local array


def opaque_kernel(func: Any) -> tuple[Any, list[Any], tuple[str, ...]]:
    """A PrimFunc as a kernel over raw pointers: the function, its buffers (temporaries last), their types.

    Raises:
        ValueError: an extent is not known at build time.
    """
    passes = tvm.transform.Sequential(
        [
            s_tir.transform.CanonicalizeLoop(),
            s_tir.transform.LowerInitBlock(),
            s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            s_tir.transform.ConvertBlocksToOpaque(),
            s_tir.transform.CompactBufferAllocation(),
            s_tir.transform.LowerMatchBuffer(),
            s_tir.transform.StmtSimplify(),
            s_tir.transform.LowerOpaqueBlock(),
            tirx.transform.FlattenBuffer(),
            tirx.transform.NarrowDataType(32),
        ]
    )
    lowered = passes(tvm.IRModule({"main": func.with_attr("global_symbol", "main")}))["main"]

    temporaries: list[Any] = []

    def hoist(node: Any) -> Any:
        size = 1
        for extent in shape_of(node.buffer):
            size *= extent
        if size * tvm.DataType(dtype_of(node.buffer)).bits // 8 <= _KEPT_ON_STACK:
            return node
        temporaries.append(node.buffer)
        return tirx.Evaluate(const(0))

    body = tvm_ffi.structural_map(lowered.body, (tirx.AllocBuffer, hoist))
    declared, pointers = [], []
    for number, buffer in enumerate([*lowered.params, *temporaries]):
        data = tirx.Var(f"p{number}", PointerType(PrimType(dtype_of(buffer)), "global"))
        pointers.append(data)
        declared.append(tirx.DeclBuffer(buffer, data=data))
    begin, end = tirx.Var("begin", INDEX), tirx.Var("end", INDEX)
    statement = tirx.SeqStmt([*declared, body, tirx.stmt.Return(const(0))])
    kernel = tirx.PrimFunc([*pointers, begin, end], statement, PrimType(INDEX)).with_attr("tirx.noalias", True)
    buffers = [*func.params, *temporaries]
    return kernel, buffers, tuple(dtype_of(buffer) for buffer in buffers)
