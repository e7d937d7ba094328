"""Whether a bundle's file is, byte for byte, what the writer makes of its members."""

from __future__ import annotations

import zipfile

from edgepress.bundle.reader import Bundle
from edgepress.bundle.writer import MANIFEST, add_member
from edgepress.errors import BundleError

_BLOCK = 1 << 20


def check_archive(bundle: Bundle) -> None:
    """Compare the whole file with what :func:`edgepress.bundle.write_bundle` writes: headers and padding, too.

    The members' names and bytes determine all else: their order, their places, the directory. Nothing is
    written and nothing large is copied.

    Raises:
        BundleError: a byte differs, or bytes follow the archive.
    """
    with memoryview(bundle._map) as whole:
        comparison = _Comparison(whole)
        with zipfile.ZipFile(comparison, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for name in (MANIFEST, *sorted(bundle.manifest.members)):
                with bundle.member(name) as data:
                    add_member(archive, name, data)
        wrong = comparison.first_wrong()
    if wrong is not None:
        raise BundleError(
            f"{bundle.path} is damaged: from byte {wrong} on its archive is not as edgepress writes it; "
            "copy or build it again"
        )


class _Comparison:
    """A file to write to that keeps nothing: each write is compared with what stands there.

    Headers are written twice, first without their checksum: the last write at a place counts.
    """

    def __init__(self, whole: memoryview) -> None:
        self._whole = whole
        self._place = 0
        self._end = 0
        self._wrong: set[int] = set()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        start, self._place = self._place, self._place + len(data)
        self._end = max(self._end, self._place)
        self._wrong.discard(start)
        if not _same(self._whole[start : self._place], data):
            self._wrong.add(start)
        return len(data)

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = 0) -> int:
        self._place = place + (0, self._place, self._end)[whence]
        return self._place

    def flush(self) -> None:
        """Nothing is kept."""

    def first_wrong(self) -> int | None:
        """Where the first piece that differs begins; None where the whole file is the same."""
        if self._wrong:
            return min(self._wrong)
        return self._end if self._end != len(self._whole) else None


def _same(one: memoryview, other: bytes | bytearray | memoryview) -> bool:
    """Block by block as bytes: that is a comparison of memory, and takes little of it."""
    if len(one) != len(other):
        return False
    return all(
        bytes(one[start : start + _BLOCK]) == bytes(other[start : start + _BLOCK])
        for start in range(0, len(one), _BLOCK)
    )
