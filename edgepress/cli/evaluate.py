"""``edgepress evaluate``: how good a bundle is; with the word ``codec``, how good a picture codec is."""

from __future__ import annotations

import click

from edgepress.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "bundle": Entry(
        "edgepress.cli.evaluate_bundle:command",
        "Accuracy, or agreement with the float network; the word may be left out.",
    ),
    "codec": Entry(
        "edgepress.cli.evaluate_codec:command", "A picture codec beside JPEG, WebP, AVIF and JPEG 2000."
    ),
}


@click.command(
    cls=LazyGroup,
    entries=COMMANDS,
    default="bundle",
    short_help="Measure accuracy, agreement, or a codec.",
    subcommand_metavar="[bundle] BUNDLE … | codec NAME …",
)
def command() -> None:
    """Measure how good a bundle is on a folder of examples, or a picture codec on a folder of pictures."""
