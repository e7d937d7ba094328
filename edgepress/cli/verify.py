"""``edgepress verify``: every byte, then the golden outputs of every engine that can run here."""

from __future__ import annotations

import click

from edgepress.bundle import open_bundle
from edgepress.bundle.archive import check_archive
from edgepress.cli.table import columns, echo_json, printable
from edgepress.errors import CheckError
from edgepress.runtimes.golden import GoldenCheck, check_engines


@click.command(short_help="Check every byte and the golden outputs of a bundle.")
@click.argument("bundle", type=click.Path())
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(bundle: str, trust: bool, as_json: bool) -> None:
    """Check every byte of BUNDLE, then run the golden inputs through its graphs and its machine code.

    Each member is compared with its SHA-256, the archive around them with what edgepress writes. The outputs
    must equal the golden ones within the tolerance that the table shows; engines that cannot run here are
    named with the reason. Exit code 8 says that the file is damaged, 7 that a golden output differs.
    """
    with open_bundle(bundle, verify=True) as opened:
        check_archive(opened)
        parts = {part: check_engines(opened, part, trust) for part in opened.manifest.parts}
        results = [result for found in parts.values() for result in found.checks]
        not_run = {part: found.not_run for part, found in parts.items() if found.not_run}
        members = len(opened.manifest.members)
        length = opened.path.stat().st_size
        if as_json:
            rows = [{**vars(result), "passed": result.passed} for result in results]
            report = {"bundle": bundle, "identity": opened.identity, "bytes": length, "members": members}
            echo_json({**report, "golden": rows, "not_run": not_run})
        else:
            click.echo(
                f"{members} members, each as its SHA-256 says; all {length:,} bytes as they were written"
            )
            click.echo(table(results) if results else "no golden examples")
            for part, engines in not_run.items():
                for engine, reason in engines.items():
                    click.echo(f"not run: {printable(f'{part}, {engine}: {reason}')}")
    failed = [result for result in results if not result.passed]
    if failed:
        first = failed[0]
        raise CheckError(
            f"{len(failed)} of {len(results)} golden outputs differ, first {printable(first.output)} of "
            f"example {first.example} on the engine {printable(first.engine)} by {first.worst:.3g} "
            f"(allowed {first.limit:.3g}); build the bundle again, or try the ONNX Runtime that it was built with"
        )


def table(results: list[GoldenCheck]) -> str:
    """One line for each golden output."""
    rows = [["part", "engine", "example", "output", "worst difference", "allowed", ""]]
    for one in results:
        rows.append(
            [
                printable(one.part),
                printable(one.engine),
                str(one.example),
                printable(one.output),
                f"{one.worst:.3g}",
                f"{one.limit:.3g}",
                "passed" if one.passed else "FAILED",
            ]
        )
    return columns(rows, right=(2, 4, 5))
