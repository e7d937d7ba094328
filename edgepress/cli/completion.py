"""``edgepress completion``: what makes the Tab key know edgepress."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of bash, zsh or fish.

    \b
    bash:  eval "$(edgepress completion bash)"  in ~/.bashrc
    zsh:   eval "$(edgepress completion zsh)"   in ~/.zshrc
    fish:  edgepress completion fish > ~/.config/fish/completions/edgepress.fish
    """
    from click.shell_completion import get_completion_class

    from edgepress.cli.main import cli

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(cli, {}, "edgepress", "_EDGEPRESS_COMPLETE").source())
