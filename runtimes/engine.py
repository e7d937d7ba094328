"""What every engine can do, whatever it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]


class Engine(Protocol):
    """A loaded part: tensors in, tensors out."""

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Run once.

        Args:
            inputs: every input of the part, of its shape and type.

        Returns:
            Every output, by name; the arrays are the caller's own.
        """
        ...
