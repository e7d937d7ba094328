"""``edgepress verify``: every byte, then the golden outputs."""

from __future__ import annotations

import click

from edgepress.bundle import open_bundle
from edgepress.cli.table import columns, echo_json, printable
from edgepress.errors import CheckError
from edgepress.runtimes.golden import GoldenCheck, check_golden


@click.command(short_help="Check every byte and the golden outputs of a bundle.")
@click.argument("bundle", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(bundle: str, as_json: bool) -> None:
    """Compare every member of BUNDLE with its SHA-256, then run the golden inputs through its graphs.

    The outputs must equal the golden ones within the tolerance that the table shows. Exit code 8 says that
    the file is damaged, 7 that a golden output differs.
    """
    with open_bundle(bundle, verify=True) as opened:
        results = [result for part in opened.manifest.parts for result in check_golden(opened, part)]
        members = len(opened.manifest.members)
        if as_json:
            rows = [{**vars(result), "passed": result.passed} for result in results]
            echo_json({"bundle": bundle, "identity": opened.identity, "members": members, "golden": rows})
        else:
            click.echo(f"{members} members, each as its SHA-256 says")
            click.echo(table(results) if results else "no golden examples")
    failed = [result for result in results if not result.passed]
    if failed:
        first = failed[0]
        raise CheckError(
            f"{len(failed)} of {len(results)} golden outputs differ, first {printable(first.output)} of "
            f"example {first.example} by {first.worst:.3g} (allowed {first.limit:.3g}); build "
            "the bundle again, or try the ONNX Runtime that it was built with"
        )


def table(results: list[GoldenCheck]) -> str:
    """One line for each golden output."""
    rows = [["part", "example", "output", "worst difference", "allowed", ""]]
    for one in results:
        figures = [f"{one.worst:.3g}", f"{one.limit:.3g}"]
        rows.append(
            [
                one.part,
                str(one.example),
                printable(one.output),
                *figures,
                "passed" if one.passed else "FAILED",
            ]
        )
    return columns(rows, right=(1, 3, 4))
