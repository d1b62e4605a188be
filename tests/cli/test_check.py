"""`causal check` as a user runs it: its output and its exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from causal.cli.__main__ import main
from causal.observe.trace import FileTrace
from tests.observe.chronicle import Chronicle, triangle


class Run(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Causal(Protocol):
    def __call__(self, *arguments: str | Path, **environment: str) -> Run: ...


@pytest.fixture
def causal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Causal:
    """The command as the entry point runs it, in this process: a start of Python each time would take longer."""

    def run(*arguments: str | Path, **environment: str) -> Run:
        for name, value in {"COLUMNS": "100", **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["causal", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Run(int(end.value.code or 0), captured.out, captured.err)

    return run


def write(folder: Path, told: Chronicle) -> list[Path]:
    """One file a node, as the nodes would have written them."""
    traces: dict[str, FileTrace] = {}
    for event in told.events:
        if event.node not in traces:
            traces[event.node] = FileTrace(folder / f"{event.node}.jsonl")
        traces[event.node].write(event)
    for trace in traces.values():
        trace.close()
    return [trace.path for trace in traces.values()]


@pytest.fixture
def good(tmp_path: Path) -> list[Path]:
    return write(tmp_path, triangle().handle("S3", "S1/1/1").handle("S3", "S2/1/1"))


@pytest.fixture
def broken(tmp_path: Path) -> list[Path]:
    return write(tmp_path, triangle().handle("S3", "S2/1/1").handle("S3", "S1/1/1"))


def test_check_good_traces_says_proved_and_exits_0(causal: Causal, good: list[Path]) -> None:
    run = causal("check", *good)
    assert run.returncode == 0, run.stderr
    assert "PROVED: 3 deliveries" in run.stdout
    assert run.stderr == ""


def test_check_broken_traces_shows_the_path_and_exits_1(causal: Causal, broken: list[Path]) -> None:
    run = causal("check", *broken)
    assert run.returncode == 1, run.stderr
    assert "REFUTED: 1 pair out of causal order" in run.stdout
    assert "S3 started S2/1/1 (order.placed) before S1/1/1 (order.placed) was settled there" in run.stdout
    steps = ["S1 sent S1/1/1", "S2 started S1/1/1", "S2 sent S2/1/1"]
    places = [run.stdout.index(step) for step in steps]
    assert places == sorted(places)


def test_check_doubled_delivery_exits_1(causal: Causal, tmp_path: Path) -> None:
    told = Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/1").settle("S2", "S1/1/1")
    run = causal("check", *write(tmp_path, told))
    assert run.returncode == 1
    assert "1 message delivered twice" in run.stdout
    assert "S1/1/1 at S2" in run.stdout


def test_check_json_is_one_object_on_stdout(causal: Causal, broken: list[Path]) -> None:
    run = causal("check", "--json", *broken)
    assert run.returncode == 1
    report = json.loads(run.stdout)
    assert (report["proved"], report["violations"], report["deliveries"]) == (False, 1, 3)
    assert [step["id"] for step in report["examples"]["violations"][0]["path"]] == ["S1/1/1", "S1/1/1", "S2/1/1"]


def test_check_options_reach_the_checker(causal: Causal, tmp_path: Path) -> None:
    told = triangle().deliver("S3", "S2/1/1", ordering="none").handle("S3", "S1/1/1")
    options = ["--json", "--declared", "--needless-ms", "0.5", "--concurrency", "3", "--show", "0"]
    run = causal("check", *options, *write(tmp_path, told))
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["declared"]
    assert (report["needless_ms"], report["concurrency"], report["held_needlessly"]) == (0.5, 3, 2)
    assert report["unsettled"] == 1
    assert report["examples"]["unsettled"] == []


def test_check_torn_last_line_is_noted_and_judged_without(causal: Causal, good: list[Path]) -> None:
    with good[0].open("a") as file:
        file.write('{"at":12')
    run = causal("check", *good)
    assert run.returncode == 0
    assert "torn" in run.stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("", "no delivery"),
        ("{}\n", "bad.jsonl:1: event is missing"),
        ("not a trace\n", "bad.jsonl:1: not JSON"),
    ],
    ids=["absent", "empty", "no event", "no JSON"],
)
def test_check_unusable_file_exits_2_with_the_reason_on_stderr(
    causal: Causal, tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "bad.jsonl"
    if text is not None:
        path.write_text(text)
    run = causal("check", path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert reason in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("kind", "words"), [("fifo", "is a pipe"), ("folder", "is a directory"), ("device", "is a device")]
)
def test_check_of_what_is_no_regular_file_is_refused_and_waits_for_nobody(
    causal: Causal, good: list[Path], tmp_path: Path, kind: str, words: str
) -> None:
    path = tmp_path / "other"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path(os.devnull)
    run = causal("check", *good, path)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"unusable: {path} {words}" in run.stderr
    assert "name the trace files that the nodes wrote" in run.stderr


def test_check_excused_pairs_says_what_is_counted_and_in_how_many_deliveries(causal: Causal, tmp_path: Path) -> None:
    told = triangle().send("S2/1/2", "S4").handle("S4", "S2/1/2").send("S4/1/1", "S3").send("S4/1/2", "S3")
    told.deliver("S3", "S4/1/1", verdict="lost", missing=("S2/1/1",)).settle("S3", "S4/1/1").handle("S3", "S4/1/2")
    run = causal("check", *write(tmp_path, told), "--show", "3", COLUMNS="120")
    assert run.returncode == 0
    assert re.search(r"excused +│ +4 +│ pairs out of order, in 2 deliveries", run.stdout)
    assert "4 pairs excused, in 2 deliveries: a delivery and a predecessor that was not settled there" in run.stdout
    assert "  at S3: S4/1/1 without S2/1/1\n" in run.stdout
    assert "… and 1 more (--show N)" in run.stdout
    assert (
        "PROVED: 4 deliveries, none before a message that causally precedes it, but for 4 excused pairs (" in run.stdout
    )


def test_check_trace_of_the_sender_left_out_names_it(causal: Causal, good: list[Path]) -> None:
    run = causal("check", *[path for path in good if path.name != "S2.jsonl"])
    assert run.returncode == 2
    assert "add the trace of S2/1" in run.stderr


def test_check_piped_output_has_no_escape_codes(causal: Causal, broken: list[Path]) -> None:
    assert "\x1b" not in causal("check", *broken).stdout
    assert "\x1b[31m" not in causal("check", *broken, NO_COLOR="1", FORCE_COLOR="1").stdout


def test_check_name_with_markup_is_shown_as_it_is(causal: Causal, tmp_path: Path) -> None:
    told = Chronicle().send("[red]/1/1", "S2").send("[red]/1/2", "S2")
    run = causal("check", *write(tmp_path, told.handle("S2", "[red]/1/2").handle("S2", "[red]/1/1")))
    assert "[red]/1/1" in run.stdout


def test_version_is_that_of_the_distribution(causal: Causal) -> None:
    from importlib.metadata import version

    assert causal("--version").stdout.strip() == f"causal {version('causal-delivery')}"


@pytest.mark.integration
def test_check_as_a_module_in_its_own_process_exits_with_the_code(broken: list[Path]) -> None:
    command = [sys.executable, "-m", "causal", "check", *map(str, broken)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=25)
    assert run.returncode == 1, run.stderr
    assert "REFUTED" in run.stdout


LIGHT = """
import sys
from causal.cli.__main__ import main
sys.argv = ["causal", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("grpc", "asyncio", "sqlite3", "google.protobuf", "rich") if name in sys.modules])
"""


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["demo", "--help"], ["--version"]])
def test_help_loads_neither_grpc_nor_asyncio_nor_rich(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, check=True, timeout=25
    )
    assert run.stdout.splitlines()[-1] == "[]"
