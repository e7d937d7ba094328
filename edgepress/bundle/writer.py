"""Write a bundle: every member stored and aligned, the old file replaced only when the new one is whole."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edgepress.bundle.manifest import Manifest, Member
from edgepress.errors import BundleError, StorageError

ALIGNMENT = 64
MANIFEST = "manifest.json"
_EXTRA_ID = 0xD935  # the alignment field that Android's zipalign uses
_LOCAL_HEADER = 30
_PARTIAL = ".partial"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MEMBER_NAME = re.compile(r"(?!/)(?:[A-Za-z0-9_\-][A-Za-z0-9_.\-]*/)*[A-Za-z0-9_\-][A-Za-z0-9_.\-]*\Z")

Content = bytes | bytearray | memoryview | Path


def safe_member_name(name: str) -> bool:
    """Whether a member's name stays inside its folder and reads the same on every system."""
    return len(name) <= 255 and _MEMBER_NAME.match(name) is not None


def write_bundle(path: Path, manifest: Manifest, members: Mapping[str, Content]) -> Manifest:
    """Write ``path``, replacing an older bundle by one atomic rename.

    Args:
        path: the file to write.
        manifest: everything but ``members``, which is filled in here.
        members: member name to its bytes, or to a file that holds them.

    Returns:
        The manifest as written.

    Raises:
        BundleError: a member's name would leave the archive.
        StorageError: the disk is full, or the folder cannot be written.
    """
    for name in members:
        if not safe_member_name(name):
            raise BundleError(
                f"the member name {name!r} cannot be stored; use letters, digits, '.', '_' and '-'"
            )
    path = path.resolve()  # a link stays, and what it leads to is replaced
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is no file that a bundle could replace; choose another name with -o")
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        partial = Path(name)
        with os.fdopen(descriptor, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # tells a later build that this one is alive
            os.fchmod(file.fileno(), 0o644)  # mkstemp keeps it to its owner
            listed = {member: _describe(members[member]) for member in sorted(members)}
            complete = dataclasses.replace(manifest, members=listed)
            Manifest.from_bytes(complete.to_bytes(), path.name)  # what cannot be read must not be written
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                add_member(archive, MANIFEST, complete.to_bytes())
                for member in sorted(members):
                    add_member(archive, member, _content(members[member]))
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose another place with -o"
        ) from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    return complete


def remove_partials(path: Path) -> None:
    """Remove what a killed build left beside ``path``; what another build is writing stays."""
    path = path.resolve()
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        with contextlib.suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink(missing_ok=True)


def _content(content: Content) -> bytes | bytearray | memoryview:
    return content.read_bytes() if isinstance(content, Path) else content


def _describe(content: Content) -> Member:
    data = _content(content)
    return Member(len(data), hashlib.sha256(data).hexdigest())


def add_member(archive: zipfile.ZipFile, name: str, data: bytes | bytearray | memoryview) -> None:
    """Add a member as every bundle holds it: stored, aligned, no date; the same content gives the same bytes."""
    large = len(data) >= zipfile.ZIP64_LIMIT // 2
    information = zipfile.ZipInfo(name, _EPOCH)
    information.external_attr = 0o644 << 16
    information.create_system = 3
    information.file_size = len(data)
    assert archive.fp is not None
    start = archive.fp.tell() + _LOCAL_HEADER + len(name) + (20 if large else 0) + 4
    information.extra = struct.pack("<HH", _EXTRA_ID, -start % ALIGNMENT) + bytes(-start % ALIGNMENT)
    with archive.open(information, "w", force_zip64=large) as member:
        member.write(data)
