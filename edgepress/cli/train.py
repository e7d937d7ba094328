"""``edgepress train``: a learned codec from a folder, or a student that splits a network between device and server."""

from __future__ import annotations

import click

from edgepress.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "walloc": Entry("edgepress.cli.train_codec:walloc", "A codec whose encoder is linear."),
    "liveaction": Entry("edgepress.cli.train_codec:liveaction", "A codec with a nonlinear encoder."),
    "student": Entry(
        "edgepress.cli.train_student:command", "An encoder for a device, the rest for a server."
    ),
    "head": Entry("edgepress.cli.train_head:command", "A second task on a student's stream."),
}


@click.command(cls=LazyGroup, entries=COMMANDS, short_help="Train a codec or a student on a folder.")
def command() -> None:
    """Train a learned codec, or a student that splits a network between a device and a server."""
