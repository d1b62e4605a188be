"""The benchmarks measure what they say: every message arrives once, and a run in which one does not is void."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import holdback, imports, latency, parallelism, throughput
from benchmarks.command import OK, SHORT, UNUSABLE, exit_code
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import BenchmarkError, Spread, Target, percentiles, ratio
from benchmarks.pair import ROOT, Batch, pair, require_all
from benchmarks.tally import BODY_BYTES, Tally, timed_body

integration = [pytest.mark.integration, pytest.mark.timeout(180)]
SPREAD = {"median", "min", "max", "rounds"}


def batch(messages: int = 100, seconds: float = 1.0) -> Batch:
    return Batch(
        messages=messages,
        seconds=seconds,
        seconds_from_first=seconds,
        sender_cpu_us=1.0,
        receiver_cpu_us=1.0,
        latency_us=None,
        late_us=None,
        posted_per_s=None,
    )


# -- figures ---------------------------------------------------------------------------------------------------


def test_ratio_of_rounds_is_taken_round_by_round() -> None:
    figure = ratio([10.0, 20.0, 90.0], [1.0, 4.0, 3.0])
    assert figure.rounds == (10.0, 5.0, 30.0)
    assert (figure.median, figure.least, figure.most) == (10.0, 5.0, 30.0)
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])


def test_percentiles_of_durations_are_by_nearest_rank_in_microseconds() -> None:
    found = percentiles(range(1_000_000, 0, -1_000))
    assert found == {"p50": 500.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0}


@pytest.mark.parametrize(("median", "met"), [(0.4, True), (0.39, False)])
def test_target_at_least_counts_the_median(median: float, met: bool) -> None:
    figure = Spread.of([0.0, median, 9.0])
    assert Target(name="x", at_least=0.4).judge(figure)["met"] is met
    assert Target(name="x", at_most=median - 0.01).judge(figure)["met"] is False


def test_summary_of_a_slow_bare_stream_is_void() -> None:
    found = throughput.summary({"bare": [batch(messages=990)], "unary": [batch(messages=10)]})
    assert found["void"] == "the bare stream is only 99 × unary calls, not 100 ×"
    assert throughput.summary({"bare": [batch(messages=1000)], "unary": [batch(messages=10)]})["void"] is None


def test_exit_code_of_parts_tells_void_from_short() -> None:
    missed = {"targets": [{"met": False}]}
    assert exit_code([missed], strict=False) == OK
    assert exit_code([missed], strict=True) == SHORT
    assert exit_code([missed, {"void": "no"}], strict=True) == UNUSABLE


# -- counting --------------------------------------------------------------------------------------------------


def noted(numbers: list[int], expected: int, body: bytes = bytes(BODY_BYTES)) -> dict[str, Any]:
    tally = Tally()
    tally.expect(expected)
    for number in numbers:
        tally.note(number, body)
    return tally.report()


def test_tally_of_each_message_once_is_accepted() -> None:
    came = noted([7, 9, 8], 3)
    require_all("x", 3, 7, came)
    assert 0 < came["first_ns"] <= came["last_ns"]


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [([7, 8], "2 of 3 messages"), ([7, 8, 8], "add up to 23, not to 24"), ([7, 8, 9, 9], "4 of 3 messages")],
)
def test_tally_with_a_loss_or_a_duplicate_is_refused(numbers: list[int], problem: str) -> None:
    with pytest.raises(BenchmarkError, match=problem):
        require_all("x", 3, 7, noted(numbers, 3))


def test_tally_of_a_body_of_another_size_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="another size"):
        require_all("x", 1, 1, noted([1], 1, b"short"))


def test_tally_of_timed_bodies_measures_from_when_they_were_due() -> None:
    tally = Tally()
    tally.expect(2, timed=True)
    tally.note(0, timed_body(0))
    tally.note(1, timed_body(1_000_000_000))
    earlier, later = tally.latencies
    assert earlier > later
    assert abs(earlier - later - 1_000_000_000) < 900_000_000


# -- the engine's hold-back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", holdback.ORDERS)
def test_arrival_order_keeps_the_order_of_each_link(order: str) -> None:
    arrivals = holdback.arrival_order(order, bursts=1000, senders=16)
    assert sorted(arrivals) == list(range(1000))
    for sender in range(16):
        own = [burst for burst in arrivals if burst % 16 == sender]
        assert own == sorted(own)
    assert (arrivals == sorted(arrivals)) == (order == "in_order")


def test_holdback_orders_hold_what_they_say() -> None:
    held = {order: holdback.measure(2_048, order)["held_most"] for order in holdback.ORDERS}
    assert held["in_order"] == 0
    assert 0 < held["windows_256"] < holdback.WINDOW
    assert held["shuffled"] > 2 * holdback.WINDOW


@pytest.mark.integration
def test_holdback_run_gives_figures_and_targets() -> None:
    found = holdback.run((512, 1024), ("in_order", "shuffled"), rounds=2)
    assert set(found["sizes"]) == {"512", "1024"}
    assert set(found["sizes"]["512"]["shuffled"]["ns"]) == SPREAD
    assert len(found["sizes"]["1024"]["in_order"]["ns"]["rounds"]) == 2
    assert [target["at_most"] for target in found["targets"]] == [6.0, 6.0, 1.3, 1.3]


def servers() -> set[str]:
    """The folders of the NATS servers that run now; each server takes its own away."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("causal-bench-*")}


# -- processes -------------------------------------------------------------------------------------------------


class TestProcesses:
    pytestmark = integration

    async def test_throughput_of_every_contender_counts_every_message(self) -> None:
        found = await throughput.run(list(CONTENDERS), rounds=1, seconds=0.0, messages=300)
        assert set(found["contenders"]) == {"product", "bare", "single", "unary", "jetstream", "packed"}
        for name, figures in found["contenders"].items():
            frame = CONTENDERS[name].frame
            assert figures["messages"] == [300 if frame <= 1 else 384 if frame == 128 else 512]
            rate = figures["messages"][0] / figures["seconds"]["median"]
            assert figures["messages_per_s"]["median"] == pytest.approx(rate)
            assert figures["seconds"]["median"] >= figures["seconds_from_first"]["median"] > 0
            assert figures["sender_cpu_us"]["median"] > 0
            assert set(figures["messages_per_s"]) == SPREAD
        assert {f"product/{name}" for name in CONTENDERS if name != "product"} < set(found["ratios"])
        assert "bare/unary" in found["ratios"]
        assert [target["at_least"] for target in found["targets"]] == [0.4, 25.0, 70.0, 20.0]

    async def test_latency_of_compared_contenders_has_percentiles_of_every_message(self) -> None:
        found = await latency.run(latency.COMPARED, (1_000,), rounds=1, seconds=0.2)
        assert set(found["rates"]) == {"1000"}
        for figures in found["rates"]["1000"].values():
            assert figures["messages"] == [200]
            median, tail = (figures["latency_us"][share]["median"] for share in ("p50", "p99.9"))
            assert 0 < median <= tail
            # The load's own lateness is a part of each latency.
            assert figures["latency_us"]["max"]["median"] > figures["load_late_us"]["p50"]["median"]
            assert figures["posted_per_s"]["median"] > 0
        assert [target["at_most"] for target in found["targets"]] == [1.0, 0.5]

    async def test_paced_load_is_not_faster_than_its_rate(self) -> None:
        async with pair("single") as processes:
            paced = await processes.paced(50, 500)
        assert paced.posted_per_s is not None
        assert paced.posted_per_s <= 500 * 50 / 49
        assert paced.seconds >= 49 / 500

    async def test_pair_left_by_an_error_in_the_midst_of_a_batch_leaves_no_server_behind(self) -> None:
        before = servers()
        with pytest.raises(TimeoutError):
            async with pair("jetstream") as processes, asyncio.timeout(1.0):
                await processes.paced(100_000, 1_000)
        assert servers() <= before

    async def test_unknown_contender_is_refused(self) -> None:
        with pytest.raises(BenchmarkError, match="no contender is called 'carrier-pigeon'"):
            async with pair("carrier-pigeon"):
                pass

    async def test_parallelism_with_eight_senders_is_faster_than_one_at_a_time(self) -> None:
        found = await parallelism.run(rounds=1, messages=16, senders=8)
        many, one = (found["concurrency"][each] for each in ("64", "1"))
        assert many["messages"] == [128]
        assert one["messages"] == [8]
        # 10 ms a message, one at a time: more than 100 a second cannot be.
        assert one["messages_per_s"]["median"] <= 100
        assert many["messages_per_s"]["median"] > one["messages_per_s"]["median"]
        assert found["violations"] == 0
        through = {scope: figures["messages_per_s"]["median"] for scope, figures in found["gateway"].items()}
        assert through["process"] <= 100
        assert through["context"] > through["process"]
        assert [target["name"] for target in found["targets"]] == [
            parallelism.GAIN.name,
            parallelism.GATEWAY.name,
            parallelism.CORRECT.name,
        ]

    def test_imports_of_grpc_cost_more_than_a_bare_interpreter(self) -> None:
        found = imports.run(rounds=3)
        assert set(found["starts"]) == set(imports.STARTS)
        bare, grpc = (found["starts"][name]["cpu_ms"]["min"] for name in ("python -c pass", "import grpc"))
        assert 0 < bare < grpc

    def test_start_that_fails_is_refused(self) -> None:
        with pytest.raises(BenchmarkError, match="ended with 3"):
            imports.start(["-c", "raise SystemExit(3)"])

    @pytest.mark.parametrize("role", ["sender", "receiver"])
    def test_profile_of_a_process_lists_its_functions(
        self, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stem = tmp_path / "profile"
        wanted = ["--only", "bare", "--messages", "1024", "--profile", role, "--profile-to", str(stem), "--json"]
        assert throughput.main(wanted) == OK
        text = stem.with_suffix(".txt").read_text("utf-8")
        assert "Ordered by: internal time" in text
        assert ("stream.py" in text and "flood" in text) if role == "sender" else "tally.py" in text
        assert stem.with_suffix(".pstats").stat().st_size > 0
        assert json.loads(capsys.readouterr().out)["profile"]["figures"]["messages"] == [1024]

    def test_bench_command_writes_json_and_names_the_machine(self, tmp_path: Path) -> None:
        output = tmp_path / "bench.json"
        command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "throughput"]
        done = subprocess.run(
            [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
        )
        # A busy machine may make the run void (2); nothing else may go wrong.
        assert done.returncode in (OK, UNUSABLE), done.stderr
        found = json.loads(output.read_text("utf-8"))
        assert set(found) == {"started", "machine", "seconds", "throughput"}
        assert {"cores", "cpu", "python", "kernel", "packages", "load_1min"} == set(found["machine"])
        assert all(found["machine"]["packages"].values())
        assert (done.returncode == UNUSABLE) == bool(found["throughput"]["void"])
        assert found["throughput"]["contenders"]["product"]["messages_per_s"]["median"] > 0
        assert "Throughput, 256 B bodies" in done.stdout
        assert "/" not in json.dumps(found["machine"])
