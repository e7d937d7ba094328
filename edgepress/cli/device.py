"""``--on``: which devices a command can use."""

from __future__ import annotations

from edgepress.errors import UsageError


def only_local(device: str) -> None:
    """Refuse a device other than this machine.

    Raises:
        UsageError: the device is another.
    """
    if device != "local":
        raise UsageError(f"--on {device!r} cannot be used; the one device accepted is 'local', this machine")
