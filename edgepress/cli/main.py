"""The entry point: which commands there are, and what becomes of every error.

Exit codes: 0 done, 2 wrong usage, 130 Ctrl-C, and those of :mod:`edgepress.errors`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import click

from edgepress.cli.lazy import Entry, LazyGroup
from edgepress.errors import EdgepressError, MissingExtraError, StorageError
from edgepress.version import __version__

COMMANDS = {
    "build": Entry("edgepress.cli.build:command", "Press a model for a board and write one bundle."),
    "train": Entry("edgepress.cli.train:command", "Train a codec or a student on a folder."),
    "init": Entry("edgepress.cli.init:command", "Write a commented recipe to start from."),
    "run": Entry("edgepress.cli.run:command", "Run a bundle on files."),
    "serve": Entry("edgepress.cli.serve:command", "Answer for a bundle over HTTP."),
    "encode": Entry("edgepress.cli.encode:command", "Press pictures, recordings and arrays by a codec."),
    "decode": Entry("edgepress.cli.decode:command", "Give back what edgepress encode pressed."),
    "split": Entry(
        "edgepress.cli.split:command", "Say where to cut a network between a device and a server."
    ),
    "profile": Entry(
        "edgepress.cli.profile:command", "Measure load, first run, steady state, memory and layers."
    ),
    "evaluate": Entry(
        "edgepress.cli.evaluate:command", "Measure a bundle's accuracy, or a codec beside others."
    ),
    "inspect": Entry("edgepress.cli.inspect:command", "Show what a bundle holds."),
    "verify": Entry("edgepress.cli.verify:command", "Check every byte and the golden outputs of a bundle."),
    "extract": Entry("edgepress.cli.extract:command", "Take parts of a bundle out."),
    "targets": Entry("edgepress.cli.targets:command", "List the boards, or show one."),
    "hwbench": Entry(
        "edgepress.cli.hwbench:command", "Measure this machine's peak operations and bandwidth."
    ),
    "tune": Entry("edgepress.cli.tune:command", "Measure other tiles for a bundle's kernels here."),
    "cache": Entry("edgepress.cli.cache:command", "Show or clean the cache."),
    "doctor": Entry("edgepress.cli.doctor:command", "Say what is installed and what is missing."),
    "completion": Entry("edgepress.cli.completion:command", "Print a shell's completion script."),
}
INTERRUPTED = 130
# By the name that Python imports: the distribution, and the extra that brings it (empty: the base install).
_PACKAGES = {
    "PIL": ("pillow", ""), "onnxruntime": ("onnxruntime", ""), "numpy": ("numpy", ""),
    "safetensors": ("safetensors", "build"),
    "torch": ("torch", "build"), "onnx": ("onnx", "build"), "onnxscript": ("onnxscript", "build"),
    "tvm": ("apache-tvm", "build"), "unicorn": ("unicorn", "build"), "elftools": ("pyelftools", "build"),
    "skimage": ("scikit-image", "build"), "ziglang": ("ziglang", "build"), "wasmtime": ("wasmtime", "build"),
    "uvicorn": ("uvicorn", "serve"), "prometheus_client": ("prometheus-client", "serve"),
}  # fmt: skip
_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


@click.command(
    cls=LazyGroup,
    entries=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
@click.version_option(__version__, message="edgepress %(version)s")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """edgepress takes a model and a board's name and gives one file that runs there."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    rest = [word for word in options if word != "--debug"] + given[len(options) :]
    sys.exit(guarded(lambda: cli.main(rest, prog_name="edgepress", standalone_mode=False, obj=debug), debug))


def guarded(work: Callable[[], object], debug: bool) -> int:
    """Do ``work``, turn every exception into one sentence, and give the exit code."""
    output = sys.stdout
    try:
        code = work()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return _say("stopped", INTERRUPTED, debug)
    except click.ClickException as error:
        return _say(_usage(error), error.exit_code, debug)
    except EdgepressError as error:
        return _say(str(error), error.exit_code, debug)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _close_output()
        if error.errno == errno.ENOSPC:
            return _say("no space is left on the disk; free some", StorageError.exit_code, debug)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            place = error.filename or "a file"
            return _say(
                f"{place} may not be used ({error.strerror}); choose another place",
                StorageError.exit_code,
                debug,
            )
        return _unexpected(error, debug)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            return _unexpected(error, debug)
        name, extra = _PACKAGES[package]
        missing = MissingExtraError("this", name, extra)
        return _say(str(missing), missing.exit_code, debug)
    except SystemExit:  # click itself ends like this after completion, and after a closed pipe
        if sys.stdout is not output:  # which it marks by wrapping the stream
            return _close_output()
        raise
    except Exception as error:
        return _unexpected(error, debug)


def _usage(error: click.ClickException) -> str:
    text = error.format_message().replace("\n", " ").rstrip(".")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is None or "edgepress --help" in text:
        return text
    return f"{text[:1].lower()}{text[1:]}; see {ctx.command_path} --help"


def _unexpected(error: Exception, debug: bool) -> int:
    hint = "" if debug else "; run it again with --debug to see where, and please report it"
    return _say(
        f"unexpected {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}{hint}", 1, debug
    )


def _say(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    text = " ".join(sentence.split())
    try:
        sys.stdout.flush()
        click.echo(f"edgepress: {text}" if code == INTERRUPTED else f"edgepress: error: {text}", err=True)
    except OSError:  # nobody reads the output: the exit code still tells
        _close_output()
    return code


def _close_output() -> int:
    """Nobody reads any more: end quietly, without Python's own complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE
