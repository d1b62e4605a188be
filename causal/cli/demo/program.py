"""The demo from its first process to its exit code."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from causal.cli.demo import words
from causal.cli.demo.child import DemoError
from causal.cli.demo.ledger import Ledger
from causal.cli.demo.numbers import INVALID, Comparison, Cut, Numbers, OneMessage
from causal.cli.demo.phases import QUICK, SLOW, SLOWLY, Stage, compare, follow_one, pull_cable
from causal.cli.demo.shop import Setting
from causal.cli.demo.show import Screen, Spacetime, lanes, legend, recorder, save_picture, strip
from causal.observe.event import TraceError

GOOD, BAD = "green", "red"
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(*, seed: int, json_output: bool, trace_dir: Path | None, picture: Path | None) -> int:
    """See `causal.cli.demo.run`."""
    screen = Screen(_console(json_output), recorder() if picture is not None else None)
    try:
        with tempfile.TemporaryDirectory(prefix="causal-demo-") as temporary:
            numbers = asyncio.run(_Demo(screen, seed, trace_dir or Path(temporary)).run())
    except InterruptedBySignalError as interrupted:
        return 128 + interrupted.number
    except (DemoError, TraceError) as error:
        screen.close()
        print(f"causal demo: the run is invalid: {error}", file=sys.stderr)
        return INVALID
    finally:
        screen.close()
    if json_output:
        print(json.dumps(numbers.to_dict()))
        for reason in (*numbers.broken(), *numbers.invalid()):
            print(f"causal demo: {reason}", file=sys.stderr)
    if picture is not None and screen.recorder is not None:
        save_picture(screen.recorder, picture)
    return numbers.exit_code


class InterruptedBySignalError(Exception):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def _console(json_output: bool) -> Console | None:
    if not json_output:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an arrow that cannot be said must not end the demo
        return Console(highlight=False)
    # Standard output belongs to the object; whoever sits at a terminal still sees something happen.
    progress = Console(stderr=True, highlight=False)
    return progress if progress.is_terminal else None


class _Demo:
    """Five steps, one after the other, each with its panel."""

    def __init__(self, screen: Screen, seed: int, folder: Path) -> None:
        self._screen = screen
        self._seed = seed
        self._folder = folder
        self._stage: Stage | None = None
        self._signal = 0

    async def run(self) -> Numbers:
        """Everything, until it is done or a signal comes (`InterruptedBySignalError`)."""
        task = asyncio.current_task()
        assert task is not None

        def end(number: int) -> None:
            if not self._signal:  # once: what follows is cleaning up, and that is not to be interrupted
                self._signal = number
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, end, number)
        try:
            return await self._steps()
        except asyncio.CancelledError:
            if self._signal:
                raise InterruptedBySignalError(self._signal) from None
            raise

    async def _steps(self) -> Numbers:
        started = time.monotonic()
        without = await self._compare("1  Without ordering", "1-without", ordering="none")
        with_causal = await self._compare("2  With causal, all else the same", "2-causal", ordering="causal")
        one = await self._follow_one()
        cut = await self._pull_cable()
        numbers = Numbers(without=without, with_causal=with_causal, one=one, cut=cut)
        self._screen.begin("5  Proof: causal check, from the traces alone", lanes)
        self._screen.end(GOOD if numbers.with_causal.report.proved else BAD, *words.of_proof(numbers))
        self._screen.say(words.of_verdict(numbers, time.monotonic() - started))
        return numbers

    async def _compare(self, heading: str, folder: str, *, ordering: str) -> Comparison:
        setting = Setting(folder=self._folder / folder, seed=self._seed, ordering=ordering, delay=SLOW)
        self._screen.begin(heading, lanes)
        run = await compare(setting, self._draw)
        seen = strip(self._ledger, from_first_early=True)
        marks = [seen, legend()] if run.early else [seen]
        self._screen.end(BAD if run.early else GOOD, *words.of_comparison(run), *marks)
        return run

    async def _follow_one(self) -> OneMessage:
        folder = self._folder / "3-one-message"
        setting = Setting(folder=folder, seed=self._seed, delay=SLOWLY, count_every_s=0)
        self._screen.begin("3  One message, slowly", Spacetime)
        one = await follow_one(setting, self._draw)
        assert self._stage is not None
        style = GOOD if one.as_promised else BAD
        self._screen.end(style, Spacetime(self._stage), *words.of_one_message(one))
        return one

    async def _pull_cable(self) -> Cut:
        setting = Setting(folder=self._folder / "4-cut", seed=self._seed, delay=QUICK)
        self._screen.begin("4  The cable S1→S3 is pulled", lanes)
        cut = await pull_cable(setting, self._draw)
        self._screen.end(BAD if cut.lost or cut.doubled else GOOD, *words.of_cut(cut))
        return cut

    def _draw(self, stage: Stage) -> None:
        self._stage = stage
        self._screen.draw(stage)

    @property
    def _ledger(self) -> Ledger:
        assert self._stage is not None
        return self._stage.ledger
