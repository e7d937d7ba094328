"""Is the pressed graph slower than the float one on the board? A labelled estimate."""

from __future__ import annotations

from pathlib import Path

from edgepress.build.steps import read_graph
from edgepress.cost import LayerCost
from edgepress.hardware.hwbench import Peaks
from edgepress.targets import Target


def estimate_slower(pressed: Path, plain: Path, target: Target, peaks: Peaks | None) -> tuple[bool, str]:
    """Whether the pressed graph is slower on the target, by a labelled estimate, and the sentence that says so."""
    from edgepress.hardware.estimate import compare

    comparison = compare(costs(pressed), costs(plain), target, peaks=peaks)
    how = comparison.ratio.how
    if comparison.faster is None:
        return False, f"its speed is not known ({how}); it is smaller, so it is kept"
    ratio = float(comparison.ratio.value or 0.0)
    sentence = f"int8 takes {ratio:.2f} of the float network's time on {target.name} (estimated: {how})"
    return not comparison.faster, sentence


def costs(graph: Path) -> list[LayerCost]:
    """What each layer of a stored graph costs."""
    from edgepress.graph.cost import count

    return count(read_graph(graph))
