"""What the command lines of all benchmarks have in common."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmarks.figures import BenchmarkError

Say = Callable[[str], None]
"""Shows what is being done now."""

OK, SHORT, UNUSABLE = range(3)
"""Exit codes: as asked; a target is missed (only with `--strict`); the run says nothing."""


def add_common(parser: ArgumentParser, *, rounds: int | None = None, only: str | None = None) -> None:
    """`--only`, `--rounds` where there are any, `--quick`, `--json`, `--strict`."""
    if only is not None:
        parser.add_argument("--only", metavar="NAMES", help=f"some of them, with commas; {only}")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, help=f"how often each takes its turn ({rounds}; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: to see that it works")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    parser.set_defaults(default_rounds=rounds)


def rounds_of(given: Namespace) -> int:
    """How many rounds were asked for."""
    default = 1 if given.quick else given.default_rounds
    return max(1, given.rounds if given.rounds is not None else default)


def chosen(parser: ArgumentParser, only: str | None, known: Collection[str]) -> list[str]:
    """The names given to `--only` in the order given, or all; ends the program for one that is not known."""
    if only is None:
        return list(known)
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--only: {', '.join(unknown)} is not one of {', '.join(known)}")
    if not names:
        parser.error("--only names nothing")
    return list(dict.fromkeys(names))


def finish(name: str, given: Namespace, work: Callable[[Say], dict[str, Any]]) -> int:
    """Do the work, print what came of it under its name, and return the exit code."""
    from benchmarks.machine import describe

    errors = Console(stderr=True)
    machine = describe()
    try:
        with errors.status("…") as status:
            found = work(lambda text: status.update(Text(text)))
    except BenchmarkError as error:
        errors.print(Text(f"void: {error}", style="red"), soft_wrap=True)
        return UNUSABLE
    return conclude(name, given, {"machine": machine, name: found})


def conclude(name: str, given: Namespace, everything: dict[str, Any]) -> int:
    """Print what was found under that name, as JSON or as tables, and return the exit code."""
    from benchmarks.tables import console, show

    if given.json:
        sys.stdout.write(json.dumps(everything, indent=2) + "\n")
    else:
        show(everything, console())
    return exit_code([everything[name]], strict=given.strict)


def exit_code(parts: Collection[dict[str, Any]], *, strict: bool) -> int:
    """What the parts of a run come to."""
    if any(part.get("void") for part in parts):
        return UNUSABLE
    missed = any(not target["met"] for part in parts for target in part.get("targets", ()))
    return SHORT if strict and missed else OK
