"""One training loop for every method that trains.

::

    Examples ─► batches, the same for a seed ─┐
    Plan ─► learning rate, weight decay, λ ───┼─► fit ─► History
    checkpoint ◄─ every so often, and resumed ┘
"""

from edgepress.training.loop import History, Record, fit, told
from edgepress.training.plan import Plan

__all__ = ["History", "Plan", "Record", "fit", "told"]
