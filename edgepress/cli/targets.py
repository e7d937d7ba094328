"""``edgepress targets``: which boards there are."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from edgepress.cli.table import columns, echo_json
from edgepress.records import encode
from edgepress.targets import describe, load_target, target_names


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in target_names() if name.startswith(incomplete)]


@click.command(short_help="List the boards, or show one.")
@click.argument("name", required=False, shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List every board, or show what is known of NAME: a board, or a path to a .toml file of one's own."""
    if name is not None:
        target = load_target(name)
        if as_json:
            echo_json(encode(target))
        else:
            click.echo(describe(target))
        return
    boards = [load_target(known) for known in target_names()]
    if as_json:
        echo_json([encode(board) for board in boards])
        return
    rows = [["name", "board", "processor", "cores", "engines"]]
    rows += [
        [
            board.name,
            board.title,
            f"{board.cpu.model} ({board.cpu.arch})",
            str(board.cpu.cores),
            " ".join(board.engines),
        ]
        for board in boards
    ]
    click.echo(columns(rows, right=(3,)))
