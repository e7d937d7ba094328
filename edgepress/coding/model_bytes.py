"""Provisional."""

from __future__ import annotations

import json

from edgepress.coding.coder import Coding
from edgepress.coding.table import Table


def coding_to_bytes(coding: Coding) -> bytes:
    """Provisional."""
    assert isinstance(coding, tuple)
    return json.dumps([[t.low, t.bits, t.frequencies.tolist()] for t in coding]).encode()


def read_coding(data: bytes | memoryview, where: str) -> Coding:
    """Provisional."""
    return tuple(Table(low, bits, f) for low, bits, f in json.loads(bytes(data)))
