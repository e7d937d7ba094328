"""What every engine can do, whatever it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from edgepress.errors import UsageError

Arrays = dict[str, np.ndarray[Any, Any]]
MOST_THREADS = 256


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that no machine here has: each would take memory before it ran.

    Raises:
        UsageError: it is not None and not 1 to :data:`MOST_THREADS`.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"{threads} threads cannot be used; give a number from 1 to {MOST_THREADS}")


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
