"""From a recipe to a bundle: the steps, their cache, their progress.

::

    source ─► export ─► press ─► gate ─► golden ─► compile ─► link ─► check ─► choose ─► pool ─► bundle

Each step is a function of its inputs, kept under their hash; a killed build goes on from the last finished one.
"""

from edgepress.build.listener import Listener, Silent
from edgepress.build.pipeline import Built, PlannedStep, build, plan

__all__ = ["Built", "Listener", "PlannedStep", "Silent", "build", "plan"]
