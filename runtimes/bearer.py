"""The token that a request must carry: from a file or the environment, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from edgepress.errors import UsageError

VARIABLE = "EDGEPRESS_TOKEN"
_SHORTEST, _LONGEST = 8, 4096


def find_token(file: str | Path | None = None) -> str:
    """The token in a file, else that in the environment variable ``EDGEPRESS_TOKEN``; empty where neither is given.

    Raises:
        UsageError: the file cannot be read, or what it holds is no token.
    """
    if file is None:
        text, where = os.environ.get(VARIABLE, ""), f"the environment variable {VARIABLE}"
        return check_token(text.strip(), where) if text.strip() else ""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_LONGEST + 2)
    except OSError as error:
        raise UsageError(
            f"the token's file {file} cannot be read ({error.strerror}); check the path"
        ) from None
    return check_token(data.decode("ascii", "replace").strip(), str(file))


def check_token(token: str, where: str) -> str:
    """The token itself.

    Raises:
        UsageError: it is too short to be secret, or has signs that no header can carry.
    """
    if not (_SHORTEST <= len(token) <= _LONGEST and all("!" <= sign <= "~" for sign in token)):
        raise UsageError(
            f"{where} holds no token; give {_SHORTEST} to {_LONGEST} letters, digits and signs without spaces, "
            "such as openssl rand -hex 24 prints"
        )
    return token


class Guard:
    """Knows whether a request may pass.

    Args:
        token: empty lets every request pass.
    """

    def __init__(self, token: str) -> None:
        self.open = not token
        self._digest = _digest(token.encode())

    def passes(self, header: bytes) -> bool:
        """Whether the header ``Authorization`` carries the token; as long whatever it carries."""
        scheme, _, given = header.strip().partition(b" ")
        same = hmac.compare_digest(_digest(given.strip()), self._digest)
        return self.open or (same and scheme.lower() == b"bearer")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
