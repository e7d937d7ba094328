"""A group of commands that imports a command's module only when that command runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from edgepress.records import near


@dataclass(frozen=True)
class Entry:
    """Where a command lives (``module:attribute``) and what it does, in one line."""

    home: str
    summary: str


class LazyGroup(click.Group):
    """Commands by name; listing and completing them imports none.

    Args:
        entries: command name to its entry, in the order of the help page.
        default: the command that is meant where the first word names none; empty makes that an error.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], default: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.entries = dict(entries)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command first where none is named."""
        own = {*self.entries, *ctx.help_option_names}
        unnamed = args[0] not in own if args else not ctx.resilient_parsing
        if self.default and unnamed:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help page."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.home.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with; an unknown one names the nearest."""
        name = args[0]
        if name not in self.entries and not ctx.resilient_parsing and not name.startswith("-"):
            guess = near(name, self.entries) or "; edgepress --help lists all"
            raise click.UsageError(f"no command {name!r}{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the entries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin with ``incomplete``, and the group's own options; files where the default takes one."""
        names = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        if self.default and not names:  # the default command's own first word
            names = [CompletionItem(incomplete, type="file")]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]
