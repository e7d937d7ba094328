"""PrimFuncs that are no plain loop nests (sorting, scattering, running sums): compiled whole.

Such a kernel is not divided, and its temporaries become further pointers, so that they too are
planned into the arena.
"""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.ir import PointerType, PrimType

from edgepress.targets.compilers.tvm.expressions import INDEX, calls, const, dtype_of, loads, shape_of
from edgepress.targets.compilers.tvm.program import RuntimeCall

_KEPT_ON_STACK = 256  # bytes: a smaller temporary stays a local array


def opaque_kernel(func: Any) -> tuple[Any, list[Any], tuple[str, ...]]:
    """A PrimFunc as a kernel over raw pointers: the function, its buffers (temporaries last), their types.

    Raises:
        ValueError: an extent is not known at build time.
        RuntimeCall: the function calls TVM's runtime.
    """
    packed = [str(call.op.name) for call in calls(func.body) if "packed" in str(getattr(call.op, "name", ""))]
    if packed:
        raise RuntimeCall(packed[0])
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
    lowered = passes(tvm.IRModule({"main": _dense(func).with_attr("global_symbol", "main")}))["main"]

    temporaries: list[Any] = []
    pointers = [
        tirx.Var(f"p{number}", PointerType(PrimType(dtype_of(buffer)), "global"))
        for number, buffer in enumerate(lowered.params)
    ]
    data_of = dict(zip(lowered.params, pointers, strict=True))

    def hoist(node: Any) -> Any:
        size = 1
        for extent in shape_of(node.buffer):
            size *= extent
        if size * tvm.DataType(dtype_of(node.buffer)).bits // 8 <= _KEPT_ON_STACK:
            return tirx.AllocBuffer(node.buffer)
        temporaries.append(node.buffer)
        return tirx.Evaluate(const(0))

    def bind(node: Any) -> Any:
        source = node.data.args[0] if isinstance(node.data, ir.Call) and node.data.args else None
        return tirx.DeclBuffer(node.buffer, data=data_of[source]) if source in data_of else node

    def serial(node: Any) -> Any:
        if node.kind == tirx.ForKind.PARALLEL:
            return tirx.For(node.loop_var, node.min, node.extent, tirx.ForKind.SERIAL, node.body)
        return node

    def inside(node: Any) -> Any:
        """Reads and stores at places that are data stay inside their buffer."""
        source = node.source if isinstance(node, ir.expr.TensorLoad) else node.buffer
        if not any(loads(index) for index in node.indices):
            return node
        held = []
        for index, extent in zip(node.indices, shape_of(source), strict=True):
            top, bottom = (tirx.const(value, dtype_of(index)) for value in (extent - 1, 0))
            held.append(tirx.max(tirx.min(index, top), bottom))
        if isinstance(node, ir.expr.TensorLoad):
            return tirx.BufferLoad(source, held)
        return tirx.BufferStore(source, node.value, held)

    changes = [
        (ir.expr.TensorLoad, inside),
        (tirx.BufferStore, inside),
        (tirx.AllocBuffer, hoist),
        (tirx.DeclBuffer, bind),
        (tirx.For, serial),
        (tirx.AttrStmt, lambda n: n.body),
    ]
    body = tvm_ffi.structural_map(lowered.body, changes)
    declared = []
    for buffer in temporaries:
        data = tirx.Var(f"p{len(pointers)}", PointerType(PrimType(dtype_of(buffer)), "global"))
        pointers.append(data)
        declared.append(tirx.DeclBuffer(buffer, data=data))
    begin, end = tirx.Var("begin", INDEX), tirx.Var("end", INDEX)
    statement = tirx.SeqStmt([*declared, body, tirx.stmt.Return(const(0))])
    kernel = tirx.PrimFunc([*pointers, begin, end], statement, PrimType(INDEX)).with_attr(
        "tirx.noalias", True
    )
    buffers = [*func.params, *temporaries]
    return kernel, buffers, tuple(dtype_of(buffer) for buffer in buffers)


def _dense(func: Any) -> Any:
    """The function with each buffer at the start of its pointer, dense, as the plan lays it out."""
    fresh = {}
    for buffer in func.params:
        fresh[buffer] = tirx.decl_buffer(buffer.ty.shape, dtype_of(buffer), buffer.name)
    body = tvm_ffi.structural_map(func.body, (ir.Var, lambda var: fresh.get(var, var)))
    return tirx.PrimFunc([fresh[b] for b in func.params], body, func.ret_type, func.attrs)
