"""Open a bundle: everything in it is doubted until it is checked, and nothing large is copied."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgepress.bundle import verified
from edgepress.bundle.manifest import Golden, Manifest
from edgepress.bundle.writer import MANIFEST, safe_member_name
from edgepress.coding.description import Codec, codec_of
from edgepress.coding.split import Split, split_of
from edgepress.errors import BundleError, DataError
from edgepress.inputs.array import ArrayInput
from edgepress.tensor import TensorSpec

_MOST_MEMBERS = 4096
_LARGEST_MANIFEST = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


@dataclass
class Bundle:
    """An open bundle; use it as a context manager, or keep it for as long as its weights are in use.

    Attributes:
        path: the file.
        manifest: what it says about itself.
        identity: SHA-256 of the manifest, which holds the SHA-256 of all else.
    """

    path: Path
    manifest: Manifest
    identity: str
    _map: mmap.mmap
    _places: dict[str, tuple[int, int]]

    def member(self, name: str) -> memoryview:
        """The bytes of a member, mapped, not copied.

        Raises:
            BundleError: there is no such member.
        """
        if name not in self._places:
            raise BundleError(f"{self.path} holds no member {name!r}; edgepress inspect lists what it holds")
        offset, length = self._places[name]
        return memoryview(self._map)[offset : offset + length]

    def array(self, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """A ``.npy`` member as the tensor it stands for.

        Raises:
            BundleError: it is not of that shape and type.
        """
        try:
            return ArrayInput().from_bytes(bytes(self.member(name)), name, tensor)
        except DataError as error:
            raise BundleError(f"{self.path}: {error}") from None

    def labels(self, name: str) -> list[str]:
        """A member with one label a line."""
        return bytes(self.member(name)).decode("utf-8", "replace").splitlines()

    def golden(
        self, part: str
    ) -> list[tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]]:
        """The golden examples of a part: pairs of inputs and outputs, by tensor name."""
        record = self.manifest.parts[part]

        def load(example: Golden) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
            inputs = {
                t.name: self.array(example.inputs[t.name], t)
                for t in record.inputs
                if t.name in example.inputs
            }
            outputs = {
                t.name: self.array(example.outputs[t.name], t)
                for t in record.outputs
                if t.name in example.outputs
            }
            return inputs, outputs

        return [load(example) for example in record.golden]

    def codec(self, part: str) -> Codec | None:
        """The codec that a part belongs to; None where it is another network's.

        Raises:
            BundleError: its description is damaged.
        """
        return codec_of(self.manifest.parts[part].tables, self.member, str(self.path))

    def split(self, part: str) -> Split | None:
        """The split network that a part belongs to; None where it is another's.

        Raises:
            BundleError: its description is damaged.
        """
        return split_of(self.manifest.parts[part].tables, self.member, str(self.path))

    def verify(self) -> None:
        """Compare every member with its SHA-256.

        Raises:
            BundleError: a member is damaged; the message names it.
        """
        for name, member in self.manifest.members.items():
            if hashlib.sha256(self.member(name)).hexdigest() != member.sha256:
                raise BundleError(
                    f"{self.path} is damaged: the member {name!r} has another SHA-256; copy or build it again"
                )

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; mapped members that are still in use keep it mapped until they end."""
        with contextlib.suppress(BufferError):
            self._map.close()  # a session still reads weights from it; the mapping ends with the last view


def open_bundle(path: str | Path, verify: bool | None = None) -> Bundle:
    """Open a bundle and check its index, its manifest and its lengths.

    Args:
        path: the file.
        verify: compare every member with its SHA-256; None does it once for each state of the file.

    Raises:
        BundleError: the file is missing, damaged, or no bundle.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
            raise BundleError(f"{path} is no regular file; give a file that edgepress build wrote")
        with path.open("rb") as file:
            state = verified.file_state(file.fileno())
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            places, checksum = _index(file, len(mapped), mapped, path)
    except FileNotFoundError:
        raise BundleError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is empty or no file"
        raise BundleError(f"{path} cannot be read ({reason})") from None
    offset, length = places.get(MANIFEST, (0, _LARGEST_MANIFEST + 1))
    if length > _LARGEST_MANIFEST:
        raise BundleError(
            f"{path} is an archive, but no edgepress bundle; give a file that edgepress build wrote"
        )
    text = mapped[offset : offset + length]
    if zlib.crc32(text) != checksum:
        raise BundleError(f"{path} is damaged: its manifest has another checksum; copy or build it again")
    manifest = Manifest.from_bytes(text, str(path))
    found = {name: size for name, (_, size) in places.items() if name != MANIFEST}
    listed = {name: member.bytes for name, member in manifest.members.items()}
    for name in sorted(found.keys() ^ listed.keys()) or [n for n in sorted(listed) if found[n] != listed[n]]:
        raise BundleError(
            f"{path} is damaged: the member {name!r} is not as the manifest lists it; copy or build it again"
        )
    bundle = Bundle(path, manifest, hashlib.sha256(text).hexdigest(), mapped, places)
    if verify or (verify is None and not verified.known(state, bundle.identity)):
        bundle.verify()
        verified.remember(state, bundle.identity)
    return bundle


def _index(file: Any, size: int, mapped: mmap.mmap, path: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Where each member's bytes lie, from the archive's directory, every offset checked; the manifest's CRC-32."""
    damaged = f"{path} is no edgepress bundle, or a truncated one; copy or build it again"
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        struct.error,
        UnicodeDecodeError,
        ValueError,
        EOFError,
        OverflowError,
    ):
        raise BundleError(damaged) from None
    if len(entries) > _MOST_MEMBERS:
        raise BundleError(f"{path} holds {len(entries)} members, more than a bundle may")
    places: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if not safe_member_name(entry.filename):
            raise BundleError(
                f"{path} holds a member named {entry.filename!r}, which would leave its folder; do not use this file"
            )
        if (
            entry.compress_type != zipfile.ZIP_STORED
            or entry.file_size != entry.compress_size
            or entry.flag_bits & 0x9
        ):
            raise BundleError(
                f"{path}: the member {entry.filename!r} is compressed or encrypted, which a bundle never is"
            )
        if entry.filename in places or not 0 <= entry.header_offset <= size - _LOCAL_HEADER.size:
            raise BundleError(damaged)
        header = _LOCAL_HEADER.unpack_from(mapped, entry.header_offset)
        start = entry.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
        if header[0] != b"PK\x03\x04" or start + entry.file_size > size:
            raise BundleError(damaged)
        places[entry.filename] = (start, entry.file_size)
    return places, next((entry.CRC for entry in entries if entry.filename == MANIFEST), 0)
