"""Transcendental functions as polynomials, and maximum and minimum as one instruction, for vector code.

A library call for each element would keep loops scalar. Errors, over all fp32 arguments: ``exp`` 1e-7 of
the result (results below 2.4e-38 are 0), ``erf`` 4.2e-7, ``tanh`` and ``sigmoid`` 3.3e-7. NaN goes through.
``pow`` by a fraction p that is known: 1e-7 of the result, and 6e-8 for each unit of p·ln x; denormals count as 0.
Sources: exp and the logarithm in pow from Cephes' expf and logf; erf and tanh are the rational functions of Eigen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm_ffi
from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, dtype_of

_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
ROUNDING = 12582912.0  # 1.5 · 2^23: added, it leaves the rounded whole number in the low bits
ROUNDING_BITS = 0x4B400000
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_EXP_LOW, _EXP_HIGH = -86.6, 88.7228
_ERF_P = (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
    -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
_ERF_Q = (
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
    -1.42647390514189e-02,
)  # fmt: skip
_TANH_P = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LEAST_NORMAL = 1.17549435e-38
_HALF_ROOT = 0x3F3504F3  # the bits of sqrt(1/2)


def vector_mathematics(func: Any, arch: str) -> Any:
    """A PrimFunc of vectorised code with calls of ``expf`` and the like replaced.

    Args:
        func: after loops have become vectors, before intrinsics are lowered.
        arch: the target's architecture; on aarch64 maximum and minimum become single instructions.
    """
    body = tvm_ffi.structural_map(func.body, (ir.Call, _call))
    if arch == "aarch64":
        body = tvm_ffi.structural_map(body, (tirx.Max, _one_instruction("llvm.maximum")))
        body = tvm_ffi.structural_map(body, (tirx.Min, _one_instruction("llvm.minimum")))
    return tirx.PrimFunc(func.params, body, func.ret_type, func.attrs)


def _call(call: Any) -> Any:
    name = str(getattr(call.op, "name", ""))
    if name == "tirx.pow":
        return _power(call)
    function = _FUNCTIONS.get(name)
    if function is None or not dtype_of(call).startswith("float32"):
        return call
    return function(call.args[0])


def _power(call: Any) -> Any:
    """``pow`` by a known fraction; negative numbers have no such power, so that they give NaN."""
    exponent = call.args[1]
    exponent = exponent.value if isinstance(exponent, tirx.Broadcast) else exponent
    known = isinstance(exponent, tirx.FloatImm) and not float(exponent.value).is_integer()
    if not known or not dtype_of(call).startswith("float32"):
        return call
    return _exp(_log(call.args[0]) * _number(float(exponent.value), call.args[0]))


def _one_instruction(name: str) -> Callable[[Any], Any]:
    def change(expr: Any) -> Any:
        dtype = dtype_of(expr)
        if not dtype.startswith("float32"):
            return expr
        return tirx.call_llvm_pure_intrin(dtype, name, expr.a, expr.b)

    return change


def _like(value: Expr, kind: str) -> str:
    return dtype_of(value).replace("float32", kind)


def _number(value: float, like: Expr) -> Expr:
    lanes = dtype_of(like).partition("x")[2]
    single = tirx.const(value, "float32")
    return tirx.Broadcast(single, int(lanes)) if lanes else single


def _whole(value: int, like: Expr) -> Expr:
    lanes = dtype_of(like).partition("x")[2]
    single = tirx.const(value, "int32")
    return tirx.Broadcast(single, int(lanes)) if lanes else single


def _polynomial(coefficients: Sequence[float], x: Expr) -> Expr:
    total = _number(coefficients[0], x)
    for coefficient in coefficients[1:]:
        total = total * x + _number(coefficient, x)
    return total


def _bound(name: str, value: Expr, body: Callable[[Any], Expr]) -> Expr:
    var = tirx.Var(name, dtype_of(value))
    return tirx.Let(var, value, body(var))


def exp_of_negative(x: Expr) -> Expr:
    """``exp`` of numbers that are not above 0, in fewer steps; at least ``exp(-86.6)``, which is 2.4e-38."""

    def of(x: Expr) -> Expr:
        bits = tirx.reinterpret(_like(x, "int32"), x * _number(_LOG2_E, x) + _number(ROUNDING, x))

        def scaled(bits: Expr) -> Expr:
            n = tirx.Cast(_like(x, "float32"), bits - _whole(ROUNDING_BITS, x))
            power = tirx.shift_left(bits + _whole(127, x), _whole(23, x))
            rest = (x - n * _number(_LN2_HIGH, x)) - n * _number(_LN2_LOW, x)

            def value(f: Expr) -> Expr:
                p = _polynomial(_EXP, f) * (f * f) + f + _number(1.0, x)
                return p * tirx.reinterpret(_like(x, "float32"), power)

            return _bound("f", rest, value)

        return _bound("n", bits, scaled)

    return _bound("x", tirx.max(x, _number(_EXP_LOW, x)), of)


def _exp(x: Expr) -> Expr:
    """``2^n · p(f)`` with ``x = n·ln 2 + f``; the scale is half of ``2^n``, which stays finite."""

    def of(x: Expr) -> Expr:
        low, high = _number(_EXP_LOW, x), _number(_EXP_HIGH, x)
        bits = tirx.reinterpret(_like(x, "int32"), x * _number(_LOG2_E, x) + _number(ROUNDING, x))

        def scaled(bits: Expr) -> Expr:
            n = tirx.Cast(_like(x, "float32"), bits - _whole(ROUNDING_BITS, x))
            # The shift drops the high bits, those of the rounding constant among them.
            half = tirx.reinterpret(
                _like(x, "float32"), tirx.shift_left(bits + _whole(126, x), _whole(23, x))
            )
            rest = (x - n * _number(_LN2_HIGH, x)) - n * _number(_LN2_LOW, x)

            def value(f: Expr) -> Expr:
                p = _polynomial(_EXP, f) * (f * f) + f + _number(1.0, x)
                return _bound("p", p, lambda p: (p + p) * half)

            return _bound("f", rest, value)

        result = _bound("n", bits, scaled)
        above = tirx.Select(x > high, _number(float("inf"), x), result)
        return tirx.Select(x < low, _number(0.0, x), above)

    return _bound("x", x, of)


def _log(x: Expr) -> Expr:
    """``e·ln 2 + ln m`` with ``x = m·2^e``, m from sqrt(1/2) to sqrt(2)."""

    def of(x: Expr) -> Expr:
        def parts(bits: Expr) -> Expr:
            exponent = tirx.shift_right(bits - _whole(_HALF_ROOT, x), _whole(23, x))
            return _bound("e", exponent, lambda e: value(e, bits))

        def value(e: Expr, bits: Expr) -> Expr:
            m = tirx.reinterpret(_like(x, "float32"), bits - tirx.shift_left(e, _whole(23, x)))
            n = tirx.Cast(_like(x, "float32"), e)

            def near_one(f: Expr) -> Expr:
                square = f * f
                low = _polynomial(_LOG, f) * f * square + n * _number(_LN2_LOW, x) - square * _number(0.5, x)
                return f + low + n * _number(_LN2_HIGH, x)

            return _bound("f", m - _number(1.0, x), near_one)

        found = _bound("b", tirx.reinterpret(_like(x, "int32"), x), parts)
        zero, infinite = _number(0.0, x), _number(float("inf"), x)
        some = tirx.Select(x < _number(_LEAST_NORMAL, x), zero - infinite, found)
        real = tirx.Select(x < zero, _number(float("nan"), x), some)
        return tirx.Select(x < infinite, real, x)  # infinity, and what is no number

    return _bound("x", x, of)


def _rational(p: Sequence[float], q: Sequence[float], limit: float) -> Callable[[Expr], Expr]:
    """``x·p(x²) / q(x²)`` of an argument held inside ``±limit``."""

    def function(x: Expr) -> Expr:
        def of(x: Expr) -> Expr:
            most, least = _number(limit, x), _number(-limit, x)
            held = tirx.Select(x > most, most, tirx.Select(x < least, least, x))

            def ratio(x: Expr) -> Expr:
                return _bound("s", x * x, lambda s: (x * _polynomial(p, s)) / _polynomial(q, s))

            return _bound("h", held, ratio)

        return _bound("x", x, of)

    return function


def _sigmoid(x: Expr) -> Expr:
    one = _number(1.0, x)
    return one / (one + _exp(_number(0.0, x) - x))


_FUNCTIONS: dict[str, Callable[[Expr], Expr]] = {
    "tirx.exp": _exp,
    "tirx.erf": _rational(_ERF_P, _ERF_Q, 4.0),
    "tirx.tanh": _rational(_TANH_P, _TANH_Q, 7.99881172180175781),
    "tirx.sigmoid": _sigmoid,
}
