"""Integers to bytes and back by frozen probability tables: what codecs send instead of arrays.

::

    counts ─► Table ─┐
                     ├─► chunks (interleaved rANS, a checksum each) ─► stream (header, identity, shape)
    integers ────────┘

Nothing here is a float once a table is made: the same stream decodes to the same integers on every machine.
"""
