"""TVM's C source made freestanding: its runtime's headers out, prototypes and ``restrict`` in."""

from __future__ import annotations

import re
import struct
from typing import Any

import tvm_ffi
from tvm import ir, tirx

_PREAMBLE = """/* Made by edgepress: the kernels of one model. No libc, no heap. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
static inline float ep_f32(uint32_t bits) { union { uint32_t u; float f; } v = {bits}; return v.f; }
static inline double ep_f64(uint64_t bits) { union { uint64_t u; double f; } v = {bits}; return v.f; }
static inline int32_t ep_bits(float value) { union { float f; int32_t i; } v = {value}; return v.i; }
"""
_ONE = (
    "expf exp2f exp10f expm1f logf log2f log10f log1pf tanhf sinhf coshf erff sinf cosf tanf atanf asinf "
    "acosf asinhf acoshf atanhf fabsf truncf floorf ceilf roundf rintf nearbyintf roundevenf sqrtf"
)
_TWO = "powf atan2f fminf fmaxf fmodf copysignf hypotf nextafterf"
_ONE_DOUBLE = "exp log sqrt fabs floor ceil round nearbyint tanh erf trunc sin cos"
_TWO_DOUBLE = "pow fmod fmin fmax"


def _prototypes(body: str) -> list[str]:
    lines = []
    for names, dtype, count in ((_ONE, "float", 1), (_TWO, "float", 2), (_ONE_DOUBLE, "double", 1),
                                (_TWO_DOUBLE, "double", 2)):  # fmt: skip
        for name in names.split():
            if re.search(rf"\b{name}\(", body):
                lines.append(f"{dtype} {name}({', '.join([dtype] * count)});")
    return lines


def freestanding(source: str) -> str:
    """The kernels' C source without TVM's headers and macros."""
    at = source.index("#ifdef __cplusplus")
    body = re.sub(r'#ifdef __cplusplus\nextern "C"\n#endif\n', "", source[at:]).replace("TVM_DLL ", "")
    body = re.sub(r"(\w+)\* (p\d+)(?=[,)])", r"\1* restrict \2", body)
    return "\n".join([_PREAMBLE, *_prototypes(body), "", body])


def exact_constants(func: Any) -> Any:
    """The kernel with its fp constants by their bits and its reinterpretations by name.

    TVM prints constants with seven digits, and reinterprets through a pointer that C does not allow.
    """

    def constant(node: Any) -> Any:
        dtype, value = str(node.ty.dtype), float(node.value)
        if dtype == "float32" and float(f"{value:e}") != value:
            bits = struct.unpack("<I", struct.pack("<f", value))[0]
            return tirx.call_pure_extern("float32", "ep_f32", tirx.const(bits, "uint32"))
        if dtype == "float64" and float(f"{value:e}") != value:
            bits = struct.unpack("<Q", struct.pack("<d", value))[0]
            return tirx.call_pure_extern("float64", "ep_f64", tirx.const(bits, "uint64"))
        return node

    def call(node: Any) -> Any:
        name, dtype = str(getattr(node.op, "name", "")).removeprefix("tirx."), str(node.ty.dtype)
        if name == "reinterpret" and dtype == "int32" and str(node.args[0].ty.dtype) == "float32":
            return tirx.call_pure_extern("int32", "ep_bits", node.args[0])
        # Mathematical operators that TVM has no C name for.
        if dtype == "float32" and f"{name}f" in (_ONE + " " + _TWO).split():
            return tirx.call_pure_extern("float32", f"{name}f", *node.args)
        if dtype == "float64" and name in (_ONE_DOUBLE + " " + _TWO_DOUBLE).split():
            return tirx.call_pure_extern("float64", name, *node.args)
        return node

    body = tvm_ffi.structural_map(func.body, [(tirx.FloatImm, constant), (ir.Call, call)])
    return func.with_body(body)
