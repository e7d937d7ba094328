"""``edgepress hwbench``: what this machine can do at most, kept for rooflines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from edgepress.cli.bar import bar
from edgepress.cli.table import columns, echo_json, size


@click.command(short_help="Measure this machine's peak operations and bandwidth.")
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=1024),
    multiple=True,
    help="How many threads; may be given several times. One and every usable core by default.",
)
@click.option("--kept", is_flag=True, help="Show what was measured before, where there is such a thing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(threads: tuple[int, ...], kept: bool, as_json: bool) -> None:
    """Measure what this machine can do at most: fp32 and int8 operations, and bytes read, a second.

    It takes some seconds, during which the machine should have nothing else to do, and needs the extra build.
    The figures are kept in the cache, for whatever states a share of the peak.
    """
    from edgepress.hardware.hwbench import keep_peaks, kept_peaks, measure_peaks, peaks_file
    from edgepress.hardware.machine import this_machine

    found = kept_peaks() if kept else None
    if found is None:
        with bar("measuring") as progress:
            found = measure_peaks(threads, progress)
        keep_peaks(found)
    machine = this_machine()
    if as_json:
        echo_json({**asdict(found), "origin": "measured", "busy": machine.busy, "file": str(peaks_file())})
        return
    click.echo(as_text(found))
    if machine.busy:
        click.echo(
            "the machine is busy with other work: its peaks are higher; measure again when it is quiet"
        )
    click.echo(f"kept in {peaks_file()}")


def as_text(found: Any) -> str:
    """The peaks as a table."""
    caches = [size(cache.bytes) for cache in found.peaks[0].caches]
    rows = [["threads", "fp32 GFLOP/s", "int8 GOP/s", *caches, "memory"]]
    for peak in found.peaks:
        reads = [*(cache.bandwidth for cache in peak.caches), peak.bandwidth]
        figures = [
            f"{peak.fp32 / 1e9:.1f}",
            f"{peak.int8 / 1e9:.0f}",
            *(f"{rate / 1e9:.1f}" for rate in reads),
        ]
        rows.append([str(peak.threads), *figures])
    return (
        f"{found.cpu}, registers of {found.vector_bytes} bytes (measured, best of several trials)\n"
        f"int8 by {found.int8_instruction}; a multiply-add counts as two operations\n"
        "the last columns: GB/s read from a cache of that size, and from memory\n"
        f"{columns(rows, right=range(len(rows[0])), indent='  ')}"
    )
