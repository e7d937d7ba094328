"""Who hears how a build goes: the command line draws it, a program may ignore it."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Told of every step of a build, in order."""

    def started(self, step: str, about: str) -> None:
        """A step begins; ``about`` says what it does."""

    def progress(self, done: int, total: int, what: str = "") -> None:
        """The running step is ``done`` of ``total``."""

    def kept(self, step: str, what: str) -> None:
        """The running step can go on from here: ``what`` says where that is, as in ``step 400 of 2000, loss 0.31``."""

    def finished(self, step: str, seconds: float, cached: bool, figure: str) -> None:
        """A step is done; ``figure`` is its result in a few words."""

    def note(self, sentence: str) -> None:
        """Something that the user should know."""


class Silent:
    """Hears nothing."""

    def started(self, step: str, about: str) -> None:
        pass

    def progress(self, done: int, total: int, what: str = "") -> None:
        pass

    def kept(self, step: str, what: str) -> None:
        pass

    def finished(self, step: str, seconds: float, cached: bool, figure: str) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass
