"""``edgepress evaluate``: how good a bundle is; with the words ``codec`` and ``split``, how good those are."""

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
    "split": Entry(
        "edgepress.cli.evaluate_split:command",
        "A split network beside JPEG, WebP, AVIF and the whole on the device.",
    ),
}


@click.command(
    cls=LazyGroup,
    entries=COMMANDS,
    default="bundle",
    short_help="Measure accuracy, agreement, a codec, or a split.",
    subcommand_metavar="[bundle] BUNDLE … | codec NAME … | split BUNDLE …",
)
def command() -> None:
    """Measure how good a bundle is on a folder of examples, or a picture codec or a split network on pictures."""
