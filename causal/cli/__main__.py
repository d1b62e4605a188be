"""The command `causal`: subcommands are declared here and imported when they run, so `--help` stays light."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="causal",
    help="Causal delivery between microservices over gRPC, without a broker.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its boxes load rich and a parser of Markdown: twice the time of a plain help
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"causal {version('causal-delivery')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Causal delivery between microservices over gRPC, without a broker."""


@app.command(short_help="Prove or refute causal order from traces.")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="The traces of all nodes of one run.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    declared: Annotated[
        bool,
        typer.Option("--declared", help="Leave out what the receiver's own setting (ordering none) does not order."),
    ] = False,
    needless_ms: Annotated[
        float, typer.Option(min=0, help="A wait of more ms than this, though ready, was needless.")
    ] = 5.0,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Handlers that a node runs at a time; fewer means that one was free.")
    ] = 64,
    show: Annotated[int, typer.Option(min=0, help="How many violations to show with their paths.")] = 10,
) -> None:
    """Prove or refute from traces that everything was delivered in causal order.

    Exit code: 0 proved, 1 refuted, 2 unusable input.
    """
    from causal.cli.check import run

    raise typer.Exit(
        run(
            files,
            json_output=json_output,
            declared=declared,
            needless_ms=needless_ms,
            concurrency=concurrency,
            show=show,
        )
    )


@app.command(short_help="Three services, a slow link, a pulled cable.")
def demo(
    seed: Annotated[int, typer.Option(help="Repeats the input and the delays.")] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
    trace_dir: Annotated[Path | None, typer.Option(help="Keep the traces in this folder.")] = None,
) -> None:
    """Three services, a slow link and a pulled cable: without ordering, then with it.

    Exit code: 0 good, 1 the promise was broken, 2 the run is invalid.
    """
    from causal.cli.demo import run

    raise typer.Exit(run(seed=seed, json_output=json_output, trace_dir=trace_dir))


def main() -> None:
    """Run the command with the process's arguments and exit."""
    app()


if __name__ == "__main__":
    main()
