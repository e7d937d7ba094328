"""``edgepress extract``: one part in a bundle of its own."""

from __future__ import annotations

from pathlib import Path

import click

from edgepress.bundle import open_bundle
from edgepress.bundle.extract import extract_part
from edgepress.cli.table import size


@click.command(short_help="Take one part of a bundle out.")
@click.argument("bundle", type=click.Path())
@click.option("--part", required=True, help="Which part.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write.")
def command(bundle: str, part: str, output: Path) -> None:
    """Write one part of BUNDLE as a bundle of its own, so that a device carries nothing else."""
    with open_bundle(bundle) as opened:
        extract_part(opened, part, output)
    click.echo(f"{output}  {size(output.stat().st_size)}")
