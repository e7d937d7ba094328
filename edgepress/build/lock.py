"""What was measured while choosing, beside the bundle: with it the same build gives the same bytes elsewhere.

``NAME.edge.lock`` is JSON: a measured step's key to what was measured. A build that finds its step there takes
the figures instead of measuring again; remove the file to measure anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepress.errors import UsageError
from edgepress.replacing import replacing

_FORMAT = "edgepress-lock"
_LARGEST = 1 << 20


def lock_path(bundle: Path) -> Path:
    """Where a bundle's lock lies."""
    return bundle.with_name(bundle.name + ".lock")


def read_lock(path: Path) -> dict[str, dict[str, Any]]:
    """The measured steps of an earlier build; none where there is no lock.

    Raises:
        UsageError: the file is no lock.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is too large for a lock; remove it to measure anew")
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{path} cannot be read as a lock; remove it to measure anew") from None
    steps = plain.get("measured") if isinstance(plain, dict) and plain.get("format") == _FORMAT else None
    if not isinstance(steps, dict) or not all(isinstance(facts, dict) for facts in steps.values()):
        raise UsageError(f"{path} is no lock that edgepress wrote; remove it to measure anew")
    return steps


def write_lock(path: Path, measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the lock, replacing an older one by one rename.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps({"format": _FORMAT, "measured": measured}, indent=1, sort_keys=True) + "\n"
    with replacing(path, "free some space") as file:
        file.write(text.encode())
