"""The model description in C: static tables for ``runtimes/c/ep.h`` and one thunk for each kernel."""

from __future__ import annotations

from collections.abc import Sequence

from edgepress.targets.compilers.tvm.lower import Kernel, KernelCall
from edgepress.targets.compilers.tvm.plan import MemoryPlan, Place, Space
from edgepress.targets.compilers.tvm.program import Program
from edgepress.tensor import TensorSpec

_C_TYPES = {
    "float32": "float", "float64": "double", "float16": "uint16_t", "int8": "int8_t", "uint8": "uint8_t",
    "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t", "int64": "int64_t",
    "uint64": "uint64_t", "bool": "int8_t",
}  # fmt: skip
_SPACES = {
    Space.ARENA: "EP_ARENA",
    Space.WEIGHTS: "EP_WEIGHTS",
    Space.INPUT: "EP_INPUT",
    Space.OUTPUT: "EP_OUTPUT",
}
HEADER = """/* Made by edgepress: the model in this library. */
#ifndef EP_MODEL_H
#define EP_MODEL_H
#include "ep.h"
#define EP_MODEL_ARENA_BYTES {arena}u
#define EP_MODEL_WEIGHTS_BYTES {weights}u
#define EP_MODEL_INPUTS {inputs}u
#define EP_MODEL_OUTPUTS {outputs}u
#endif
"""


def c_text(text: str) -> str:
    """A C string literal; anything but plain ASCII is escaped byte by byte."""
    parts = []
    for byte in text.encode():
        char = chr(byte)
        parts.append(char if 32 <= byte < 127 and char not in '"\\?' else f"\\{byte:03o}")
    return '"' + "".join(parts) + '"'


def emit_header(plan: MemoryPlan, inputs: int, outputs: int) -> str:
    """``model.h``: the sizes that an application needs at compile time."""
    return HEADER.format(arena=plan.arena_bytes, weights=len(plan.weights), inputs=inputs, outputs=outputs)


def emit_model(
    name: str,
    program: Program,
    kernels: Sequence[Kernel],
    calls: Sequence[KernelCall],
    names: Sequence[str],
    plan: MemoryPlan,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> str:
    """``model.c``: kernels declared, thunks, argument and operation tables, and ``ep_get_model``."""
    lines = [
        '#include "ep.h"',
        "",
        "/* Made by edgepress. Kernels run [begin, end) of their outermost loop. */",
    ]
    for index, kernel in enumerate(kernels):
        types = [_C_TYPES[dtype] for dtype in kernel.dtypes]
        declared = ", ".join([f"{t} *" for t in types] + ["int32_t", "int32_t"])
        passed = ", ".join(
            [f"({t} *)a[{i}]" for i, t in enumerate(types)] + [_share("part"), _share("part + 1")]
        )
        lines += [
            f"extern int32_t {kernel.symbol}({declared});",
            f"static int32_t op_{index}(void *const *a, int32_t part, int32_t parts) {{",
            f"  const int64_t extent = {kernel.extent};",
            f"  return {kernel.symbol}({passed});",
            "}",
        ]
    most = max((kernel.pointers for kernel in kernels), default=0)
    rows: list[str] = []
    refs: list[str] = []
    for call, op_name in zip(calls, names[: len(calls)], strict=True):
        rows.append(
            f"  {{op_{call.kernel}, refs + {len(refs)}, {len(call.arguments)}u, {call.parts}u, "
            f"{c_text(op_name)}}},"
        )
        refs += [_ref(plan.places[argument]) for argument in call.arguments]
    for (number, index), op_name in zip(plan.copies, names[len(calls) :], strict=True):
        size = program.values[number].bytes
        lines += [
            f"static int32_t copy_{index}(void *const *a, int32_t part, int32_t parts) {{",
            "  const uint8_t *from = (const uint8_t *)a[0];",
            "  uint8_t *to = (uint8_t *)a[1];",
            "  (void)part; (void)parts;",
            f"  for (uint64_t i = 0; i < {size}u; ++i) to[i] = from[i];",
            "  return 0;",
            "}",
        ]
        rows.append(f"  {{copy_{index}, refs + {len(refs)}, 2u, 1u, {c_text(op_name)}}},")
        refs += [_ref(plan.places[number]), _ref(Place(Space.OUTPUT, index, 0))]
        most = max(most, 2)
    lines += ["", "static const ep_ref refs[] = {", *refs, "};"] if refs else ["static const ep_ref refs[1];"]
    lines += ["static const ep_op ops[] = {", *rows, "};"] if rows else ["static const ep_op ops[1];"]
    lines += (
        ["static const ep_io inputs[] = {", *map(_io, inputs), "};"]
        if inputs
        else ["static const ep_io inputs[1];"]
    )
    lines += ["static const ep_io outputs[] = {", *map(_io, outputs), "};"]
    lines += [
        "static const ep_model model = {",
        f"  EP_ABI, {len(rows)}u, {len(inputs)}u, {len(outputs)}u, {c_text(name)}, ops, inputs, outputs,",
        f"  {plan.arena_bytes}u, {len(plan.weights)}u, {most}u,",
        "};",
        "const ep_model *ep_get_model(void) { return &model; }",
        "",
    ]
    return "\n".join(lines)


def _share(part: str) -> str:
    return f"(int32_t)(extent * ({part}) / parts)"


def _ref(place: Place) -> str:
    return f"  {{{_SPACES[place.space]}, {place.index}u, {place.offset}u}},"


def _io(spec: TensorSpec) -> str:
    shape = ", ".join(str(extent) for extent in spec.shape) or "0"
    return (
        f"  {{{c_text(spec.name)}, EP_{spec.dtype.upper()}, {len(spec.shape)}u, {{{shape}}}, {spec.bytes}u}},"
    )
