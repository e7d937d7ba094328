"""Torch layers that compression methods share.

::

    float weight ─► ternary codes × scale ─┐
                                           ├─► TernaryLinear, TernaryConv1d, TernaryConv2d, TernaryOutput
    activation ──► eight-bit steps × scale ─┘
"""

from edgepress.nn.ternarise import Kept, ternarise
from edgepress.nn.ternary_layers import TernaryConv1d, TernaryConv2d, TernaryLinear, TernaryOutput, set_phase
from edgepress.nn.ternary_weight import Ternary, ternary_codes, weight_scale

__all__ = [
    "Kept",
    "Ternary",
    "TernaryConv1d",
    "TernaryConv2d",
    "TernaryLinear",
    "TernaryOutput",
    "set_phase",
    "ternarise",
    "ternary_codes",
    "weight_scale",
]
