"""``edgepress inspect``: what a bundle says about itself."""

from __future__ import annotations

import click

from edgepress.bundle import Bundle, Part, open_bundle
from edgepress.cli.codec_page import codec_page
from edgepress.cli.layers import kernel_lines, layer_data, layer_pages
from edgepress.cli.precision import FACT, precision_table
from edgepress.cli.split_page import TRAINING, split_page
from edgepress.cli.table import columns, echo_json, printable, shape, size
from edgepress.cli.trained import FACTS, trained_pages
from edgepress.records import encode


@click.command(short_help="Show what a bundle holds.")
@click.argument("bundle", type=click.Path())
@click.option(
    "--layers",
    is_flag=True,
    help="Show each layer instead: its kernel, its work, its distance from the peak.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, or the layers, as JSON.")
def command(bundle: str, layers: bool, as_json: bool) -> None:
    """Show what BUNDLE holds: parts, tensors, preprocessing, engines, sizes, checks and tools.

    With --layers, each layer of the engines: which kernel computes it, its operations and bytes, and, where
    this machine is the target, its share of time and how near it comes to this machine's peak. Times are
    those of the last edgepress profile --layers; where there are none, they are measured on one thread.
    """
    with open_bundle(bundle, verify=False) as opened:
        if layers and as_json:
            echo_json(layer_data(opened))
        elif layers:
            click.echo(layer_pages(opened))
        elif as_json:
            click.echo(opened.manifest.to_bytes().decode(), nl=False)
        else:
            click.echo(describe(opened))


def describe(bundle: Bundle) -> str:
    """The bundle on a page of text."""
    manifest = bundle.manifest
    facts = [
        ["model", printable(manifest.name)],
        ["size", f"{size(bundle.path.stat().st_size)} in {len(manifest.members)} members"],
        ["identity", bundle.identity],
    ]
    sections = [columns(facts)]
    method, reported = dict(manifest.method), manifest.method.get("facts")
    pages: list[str] = []
    if isinstance(reported, dict):
        precisions = precision_table(reported)  # says more than which layers were left
        told = {key: value for key, value in reported.items() if not (precisions and key == "left")}
        pages = [*trained_pages(told), *([precisions] if precisions else [])]
        left_out = (*FACTS, FACT) if pages else ()
        method["facts"] = {key: value for key, value in reported.items() if key not in left_out}
    page = split_page(bundle)
    if page:
        method.pop(TRAINING, None)  # the page tells of it
    for title, record in (("source", manifest.source), ("method", method)):
        rows = [[printable(key), _flat(value)] for key, value in record.items()]
        sections.append(f"{title}\n{columns(rows, indent='  ')}")
    sections += pages
    codec = next((found for name in manifest.parts if (found := bundle.codec(name)) is not None), None)
    if codec is not None:
        sections.append(codec_page(codec))
    if page:
        sections.append(page)
    sections += [_part(bundle, name, part) for name, part in manifest.parts.items()]
    rows = [["member", "size", "SHA-256"]]
    rows += [[name, size(member.bytes), member.sha256[:16]] for name, member in manifest.members.items()]
    sections.append("members\n" + columns(rows, right=(1,), indent="  "))
    sections.append(
        "checks\n" + (columns(_checks(bundle), right=(2, 3), indent="  ") if manifest.checks else "  none")
    )
    tools = columns(
        [[printable(name), printable(version)] for name, version in manifest.tools.items()], indent="  "
    )
    sections.append(f"tools\n{tools}")
    return "\n\n".join(sections)


def _part(bundle: Bundle, name: str, part: Part) -> str:
    title = bundle.manifest.targets[part.target].get("title", "")
    head = [["target", printable(f"{part.target} ({title})" if title else part.target)]]
    head.append(["engine", printable(part.why or part.engine)])
    head.append(["portable graph", f"{part.graph.member}, IR {part.graph.ir}, opset {part.graph.opset}"])
    head.append(["golden", f"{len(part.golden)} example(s)"])
    rows = [["", "name", "shape", "type", "range", "meaning"]]
    for tensor in part.inputs:
        kind = _flat(encode(part.prepare[tensor.name])) if tensor.name in part.prepare else "-"
        rows.append(
            ["input", printable(tensor.name), shape(tensor.shape), tensor.dtype, _range(tensor.range), kind]
        )
    for tensor in part.outputs:
        kind = _flat(encode(part.meaning[tensor.name])) if tensor.name in part.meaning else "-"
        rows.append(
            ["output", printable(tensor.name), shape(tensor.shape), tensor.dtype, _range(tensor.range), kind]
        )
    engines = [["engine", "files", "arena", "facts"]]
    for engine, files in part.engines.items():
        members = [*files.files.values(), *([files.graph.member] if files.graph else [])]
        total = sum(bundle.manifest.members[member].bytes for member in members)
        arena = "-" if files.arena_bytes is None else size(files.arena_bytes)
        engines.append([engine, size(total), arena, _flat(files.facts) or "-"])
    lines = [f"part {printable(name)}", columns(head, indent="  "), columns(rows, indent="  ")]
    lines.append(columns(engines, right=(1, 2), indent="  "))
    return "\n".join(lines + kernel_lines(bundle, name))


def _checks(bundle: Bundle) -> list[list[str]]:
    rows = [["step", "against", "worst", "limit", "", "origin", ""]]
    for check in bundle.manifest.checks:
        verdict = "passed" if check.passed else "FAILED"
        figures = [f"{check.worst:.3g}", f"{check.limit:.3g} {check.unit}"]
        rows.append(
            [check.step, printable(check.against), *figures, verdict, check.origin, printable(check.detail)]
        )
    return rows


def _range(limits: tuple[float, float] | None) -> str:
    return f"{limits[0]:.4g} to {limits[1]:.4g}" if limits else "-"


def _flat(data: object) -> str:
    """Nested plain data on one line."""
    if isinstance(data, dict):
        return ", ".join(f"{printable(str(key))} {_flat(value)}" for key, value in data.items())
    if isinstance(data, (list, tuple)):
        return "[" + " ".join(_flat(value) for value in data) + "]"
    return printable(f"{data:.6g}" if isinstance(data, float) else str(data))
