"""The file: one line an event, there before its effect, whole even if the process is killed or the disk is full."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from causal.errors import ClosedError, ConfigurationError
from causal.observe.trace import FileTrace, MemoryTrace, Trace, TraceError, TraceEvent, read_trace, to_json


def event(seq: int, subject: str = "order.placed") -> TraceEvent:
    return TraceEvent(
        at=seq, node="S1", incarnation=5, event="send", id=f"S1/5/{seq}", to=("S2",), sender="S1", subject=subject
    )


def events_of(path: Path) -> list[TraceEvent]:
    warnings: list[str] = []
    events = list(read_trace(path, warnings))
    assert warnings == []
    return events


def test_file_trace_event_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    trace = FileTrace(path)
    for seq in range(1, 4):
        trace.write(event(seq))
        assert events_of(path)[-1] == event(seq)
    trace.close()
    assert path.read_text() == "".join(to_json(event(seq)) + "\n" for seq in range(1, 4))


def test_file_trace_reopened_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    for seq in (1, 2):
        trace = FileTrace(path)
        trace.write(event(seq))
        trace.close()
    assert events_of(path) == [event(1), event(2)]


@pytest.mark.parametrize("kept", [1, 6, 20, 60])
def test_file_trace_torn_last_line_is_cut_off_on_reopening(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "s1.jsonl"
    path.write_text(to_json(event(1)) + "\n" + to_json(event(2))[:kept])
    trace = FileTrace(path)
    trace.write(event(3))
    trace.close()
    assert events_of(path) == [event(1), event(3)]


def test_file_trace_last_line_without_newline_is_ended_on_reopening(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    path.write_text(to_json(event(1)))
    trace = FileTrace(path)
    trace.write(event(2))
    trace.close()
    assert events_of(path) == [event(1), event(2)]


@pytest.mark.parametrize("text", ["first\nlast line without newline", "first\nlast\n", "\n", '{"level": 1}\n'])
def test_file_trace_path_of_another_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "precious.txt"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="is not a trace"):
        FileTrace(path)
    assert path.read_text() == text


def test_file_trace_path_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        FileTrace(tmp_path / "absent" / "s1.jsonl")


def test_file_trace_use_after_close_raises(tmp_path: Path) -> None:
    trace = FileTrace(tmp_path / "s1.jsonl")
    trace.close()
    trace.close()
    with pytest.raises(ClosedError):
        trace.write(event(1))


def test_file_trace_several_writers_of_one_file_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"

    def write(first: int) -> None:
        trace = FileTrace(path)
        for seq in range(first, first + 300):
            trace.write(event(seq, "x" * (seq % 50 + 1) * 100))
        trace.close()

    path.touch()
    threads = [threading.Thread(target=write, args=(first,)) for first in (1, 1_001, 2_001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events_of(path)) == 900


WRITER = """
import sys
from tests.observe.test_trace import FileTrace, event
trace = FileTrace(sys.argv[1])
for seq in range(1, 1_000_000):
    trace.write(event(seq))
    print(seq, flush=True)
"""


def test_file_trace_killed_process_has_written_all_that_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "200\n":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        seen = max([200, *map(int, process.stdout.read().split("\n")[:-1])])
    events = list(read_trace(path, []))
    assert events == [event(seq) for seq in range(1, len(events) + 1)]
    assert len(events) >= seen


FULL_DISK = """
import resource, sys
from tests.observe.test_trace import FileTrace, event
trace = FileTrace(sys.argv[1])
trace.write(event(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
try:
    for seq in range(2, 100):
        trace.write(event(seq))
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    trace.write(event(200))
    print(seq)
"""


def test_b14_file_trace_full_disk_raises_and_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True, timeout=20
    )
    failed = int(run.stdout)
    assert failed > 2
    assert events_of(path) == [*map(event, range(1, failed)), event(200)]


def test_read_trace_torn_last_line_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    path.write_text(to_json(event(1)) + "\n" + to_json(event(2))[:30])
    warnings: list[str] = []
    assert list(read_trace(path, warnings)) == [event(1)]
    assert len(warnings) == 1
    assert f"{path}:2" in warnings[0]


def test_read_trace_bad_line_before_the_last_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    path.write_text(to_json(event(1)) + "\n{\n" + to_json(event(2)) + "\n")
    with pytest.raises(TraceError, match=rf"{path}:2: not JSON"):
        list(read_trace(path, []))


def test_read_trace_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"absent\.jsonl: No such file"):
        list(read_trace(tmp_path / "absent.jsonl", []))


def test_memory_trace_shared_by_nodes_keeps_the_order_of_writing() -> None:
    trace = MemoryTrace()
    sinks: list[Trace] = [trace, trace]
    for seq, sink in enumerate(sinks * 2, start=1):
        sink.write(event(seq))
    trace.close()
    assert [each.id for each in trace.events] == [f"S1/5/{seq}" for seq in range(1, 5)]
