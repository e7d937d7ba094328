"""``edgepress run``: files in, labels or numbers out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from edgepress.cli.number import a_number
from edgepress.cli.save import save_outputs
from edgepress.cli.table import columns, echo_json, printable, shape
from edgepress.coding.split import SERVER
from edgepress.errors import DataError, EdgepressError, UsageError
from edgepress.inputs import Value
from edgepress.runtimes.bearer import find_token
from edgepress.runtimes.served_session import ServedResult, ServedSession
from edgepress.runtimes.session import Result, Session, load, load_to_run
from edgepress.runtimes.split_session import SplitResult, SplitSession

Example = tuple[str, dict[str, Value]]


@click.command(short_help="Run a bundle on files.")
@click.argument("bundle", type=click.Path())
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to name."
)
@click.option("--engine", help="aot, ort or portable; the bundle's own choice by default.")
@click.option("--part", help="Which part; needed only where there are several that are no split network.")
@click.option(
    "--rate", type=click.IntRange(min=0), help="Of a split network: which of its rates; the last by default."
)
@click.option("--head", help="Of a split network: which of the server's parts answers; server by default.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option("--threads", type=click.IntRange(1, 256), help="How many threads to run on.")
@click.option(
    "--save", type=click.Path(path_type=Path), help="Write every output as a .npy file into this folder."
)
@click.option("--server", metavar="URL", help="Have an edgepress serve answer, such as http://host:8080.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="The server's token; EDGEPRESS_TOKEN by default."
)
@click.option("--token", help="The same in words, which other users of this machine may see.")
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10,
    show_default=True,
    callback=a_number,
    help="Seconds for an answer of the server, repeats included.",
)
@click.option(
    "--no-fallback", is_flag=True, help="Fail where the server gives no answer, rather than answer here."
)
@click.option("--authority", type=click.Path(), help="PEM file of who signed the server's certificate.")
@click.pass_context
def command(
    ctx: click.Context, bundle: str, files: tuple[str, ...], as_json: bool, top: int, engine: str | None,
    part: str | None, rate: int | None, head: str | None, trust: bool, threads: int | None, save: Path | None,
    server: str | None, token_file: Path | None, token: str | None, timeout: float, no_fallback: bool,
    authority: str | None,
) -> None:  # fmt: skip
    """Run BUNDLE on FILES: photographs, recordings, .npy arrays or texts, whatever its model takes.

    Of a split network both halves run here, one after the other, with the stream that would be sent between them.

    "-" reads standard input. A model with several inputs takes NAME=FILE for each of them. A file that
    cannot be used is reported, the others still run, and the exit code is that of the last error.

    With --server a split network encodes here and its stream is answered there; of any other bundle the file is sent
    as it is. When no answer comes in time, the bundle answers here if it can, the part local before others, and the
    result says so; else the exit code is 12. --save then takes the first output, in place of the classes.
    """
    _check_options(ctx, server)
    session: Session | ServedSession
    if server is None:
        session = load_to_run(bundle, part=part, engine=engine, trust=trust, threads=threads)
    else:
        session = load(
            bundle, part=part, engine=engine, trust=trust, threads=threads, server=server, timeout=timeout,
            token=token or find_token(token_file), fallback=not no_fallback, authority=authority,
        )  # fmt: skip
    with session:
        split = session.is_split if isinstance(session, ServedSession) else isinstance(session, SplitSession)
        if (rate is not None or head) and not split:
            raise UsageError(f"{bundle} runs one network here; leave {'--head' if head else '--rate'} out")
        if session.note:
            click.echo(f"edgepress: note: {session.note}", err=True)
        found: list[dict[str, Any]] = []
        code = 0
        for number, (name, value) in enumerate(examples(session, files)):
            try:
                result = answered(session, value, top, rate, head or SERVER, save is not None)
                saved = save_outputs(save, number, name, result.outputs) if save else []
            except EdgepressError as error:
                code = error.exit_code
                found.append({"file": name, "error": str(error)})
                click.echo(f"edgepress: error: {error}", err=True)
                continue
            if as_json:
                found.append({"file": name, **as_data(result), **({"saved": saved} if saved else {})})
            else:
                click.echo(as_text(name, result))
                if result.note:
                    click.echo(f"edgepress: note: {printable(name)}: {result.where}: {result.note}", err=True)
                for path in saved:
                    click.echo(f"  saved {path}")
        if as_json:
            report = {
                "bundle": bundle,
                "part": session.part_name,
                "engine": session.engine_name,
                **({"server": server} if server else {}),
                "results": found,
            }
            echo_json({**report, "note": session.note} if session.note else report)
    ctx.exit(code)


def _check_options(ctx: click.Context, server: str | None) -> None:
    """Refuse what means nothing without a server."""
    for name in ("token_file", "token", "timeout", "no_fallback", "authority"):
        if server is None and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(
                f"--{name.replace('_', '-')} is of no use without --server; give the server's address"
            )


def examples(session: Session | ServedSession, files: tuple[str, ...]) -> list[Example]:
    """The examples that the command's words name: one a file, or one a full set of ``NAME=FILE``.

    Raises:
        DataError: the model has several inputs, and a word does not say which it is for.
    """
    names = [tensor.name for tensor in session.part.inputs]
    found: list[Example] = []
    for word in files:
        name, equals, path = word.partition("=")
        if not (equals and name in names):
            if len(names) > 1:
                raise DataError(
                    f"this model has {len(names)} inputs; give NAME=FILE for each of {', '.join(names)}"
                )
            name, path = names[0], word
        # A name that the example already has begins the next example.
        if not found or len(names) == 1 or name in found[-1][1]:
            found.append((path if len(names) == 1 else word, {}))
        elif len(names) > 1:
            found[-1] = (f"{found[-1][0]} {word}", found[-1][1])
        found[-1][1][name] = sys.stdin.buffer if path == "-" else Path(path)
    return found


def answered(
    session: Session | ServedSession,
    value: dict[str, Value],
    top: int,
    rate: int | None,
    head: str,
    tensor: bool,
) -> Result:
    """One result; of a split network by way of its stream, of a server's answer the output where that is wanted."""
    if isinstance(session, ServedSession):
        return session.run(value, top, rate=rate, head=head if session.is_split else "", tensor=tensor)
    if isinstance(session, SplitSession):
        session.network(head)  # a bundle without it is refused before anything is encoded
        return session.answer(session.encode(value, rate), head, top)
    return session.run(value, top)


def as_data(result: Result) -> dict[str, Any]:
    """One result as JSON-ready data: labels where there are any, and every output in figures."""
    labels = [{"index": one.index, "name": one.name, "probability": one.probability} for one in result.labels]
    outputs = {name: summary(array) for name, array in result.outputs.items()}
    sent: dict[str, Any] = (
        {"rate": result.rate, "bytes": result.sent} if isinstance(result, SplitResult) else {}
    )
    if isinstance(result, ServedResult):
        sent = {"where": result.where, "note": result.note, "bytes": result.sent, "tries": result.tries}
        sent |= {"ms": result.seconds * 1e3, "server_ms": result.server_ms}
    return {**sent, **({"labels": labels} if labels else {}), "outputs": outputs}


def summary(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array's shape, type, least, mean and greatest value."""
    data: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if array.size and array.dtype.kind in "biuf":
        values = array.astype(np.float64)
        data |= {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
    return data


def as_text(name: str, result: Result) -> str:
    """One result as lines of text under the file's name."""
    name = printable(name)
    if isinstance(result, SplitResult):
        name += f"  {result.sent:,} bytes sent, rate {result.rate}"
    elif isinstance(result, ServedResult):
        name += f"  {result.sent:,} bytes sent, answered by {result.where} in {result.seconds * 1e3:.0f} ms"
    if result.labels:
        rows = [[f"{one.probability:7.2%}", printable(one.name), f"({one.index})"] for one in result.labels]
        return f"{name}\n{columns(rows, right=(0,), indent='  ')}"
    rows = [["output", "shape", "type", "min", "mean", "max"]]
    for output, array in result.outputs.items():
        data = summary(array)
        figures = [f"{data[key]:.5g}" if key in data else "-" for key in ("min", "mean", "max")]
        rows.append([printable(output), shape(array.shape), str(array.dtype), *figures])
    return f"{name}\n{columns(rows, right=(3, 4, 5), indent='  ')}"
