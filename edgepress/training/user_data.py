"""``--data`` of a training that is no folder: examples that are built in, or that the user's own code gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgepress.errors import DataError, SourceError, UsageError
from edgepress.fingerprint import code_fingerprint
from edgepress.tensor import TensorSpec
from edgepress.training.digits import digits
from edgepress.training.sets import Sets, sets_of, split
from edgepress.user_code import CALLED, beside, look_up, user_code


def sets_from(text: str, inputs: tuple[TensorSpec, ...], share: float) -> Sets:
    """The examples that a text means.

    Args:
        text: ``digits``, ``package.module:callable`` or ``file.py:callable``; called without arguments.
        inputs: of the network.
        share: of the examples that is held out, where the user names none.

    Raises:
        DataError: there are no examples, or the user's code failed.
    """
    if text == "digits":
        if len(inputs) != 1:
            raise DataError(
                f"digits are for a network with one input, not {len(inputs)}; give examples of your own"
            )
        return split(digits(inputs[0]), share)
    try:
        with beside(text.rpartition(":")[0]):
            found, home = look_up(text, "name a function that gives examples")
            with user_code(f"{text}() failed", CALLED):
                given = found() if callable(found) and not hasattr(found, "__getitem__") else found
                return sets_of(given, text.rpartition(":")[2], code_fingerprint(home.__name__), share)
    except SourceError as error:
        raise DataError(str(error)) from None


def own_loss(text: str) -> tuple[Callable[..., Any], str]:
    """The loss ``package.module:callable`` or ``file.py:callable``, and a digest of its code.

    Raises:
        UsageError: there is none.
    """
    if ":" not in text:
        raise UsageError(f"the loss {text!r} is no package.module:callable or file.py:callable")
    try:
        with beside(text.rpartition(":")[0]):
            found, home = look_up(text, "name a function loss(outputs, targets)")
    except SourceError as error:
        raise UsageError(str(error)) from None
    if not callable(found):
        raise UsageError(f"{text} is {type(found).__name__}; name a function loss(outputs, targets)")
    return found, code_fingerprint(home.__name__)
