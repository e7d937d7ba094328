"""``edgepress extract``: a part, or some, in a bundle of its own."""

from __future__ import annotations

from pathlib import Path

import click

from edgepress.bundle import open_bundle
from edgepress.bundle.extract import extract_part
from edgepress.cli.table import size
from edgepress.coding.split import DEVICE, LOCAL


@click.command(short_help="Take parts of a bundle out.")
@click.argument("bundle", type=click.Path())
@click.option("--part", required=True, help="Which part; several with commas: device,local.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write.")
def command(bundle: str, part: str, output: Path) -> None:
    """Write a part of BUNDLE, or some, as a bundle of its own, so that a device carries nothing else."""
    with open_bundle(bundle) as opened:
        kept = extract_part(opened, part, output).parts
        left = [name for name in opened.manifest.parts if name not in kept]
    if DEVICE in kept and LOCAL in left:
        click.echo(
            f"edgepress: note: the part {LOCAL}, which answers when no server does, was left; --part {DEVICE},{LOCAL} "
            "takes both",
            err=True,
        )
    click.echo(f"{output}  {size(output.stat().st_size)}")
