"""The growth benchmark measures real frames, its oracle sees what is broken, the algorithms are those of the papers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import cache
from random import Random

import pytest
from msgspec import msgpack

from benchmarks.clock_growth import benchmark, cells, frame_parts, world
from benchmarks.clock_growth.algorithms import (
    ALGORITHMS,
    Algorithm,
    DifferentialClock,
    FullClock,
    Matrix,
    Optimal,
    costs,
)
from benchmarks.clock_growth.algorithms.optimal import Entries
from benchmarks.clock_growth.frame_parts import PARTS
from benchmarks.clock_growth.history import History, Kind
from benchmarks.clock_growth.oracle import Oracle
from benchmarks.clock_growth.replay import Replay
from benchmarks.clock_growth.run import Run
from benchmarks.clock_growth.topology import names_of, production, slow_links
from benchmarks.clock_growth.variants import PROCESS, VARIANTS, Variant
from benchmarks.clock_growth.workload import DEPTH_MAX, SLOW_HOPS, WORKLOADS, Plan, Planned, plan
from benchmarks.figures import BenchmarkError
from causal.ordering import Dot, Engine, NodeId, Ordering
from causal.ordering.frames import Base, Hello, SenderFrame, StableNumber
from causal.ordering.stamp import Copy, Stamp
from causal.wire.codec import SenderEncoder
from tests.benchmarks.literal_optimal import Both

pytestmark = pytest.mark.simulation

ME, OTHER, THIRD = (
    NodeId(name, 1_790_000_000_000) for name in ("billing-api-001", "catalog-view-002", "stock-sync-003")
)


def carried_out(planned: Plan, handler_ms: int = 0, variant: Variant = PROCESS) -> tuple[Run, History, list[NodeId]]:
    history = History(len(planned.names))
    the_world = world.World(planned, variant, 1000 * handler_ms, history=history)
    return the_world.carry_out(), history, [service.me for service in the_world.services]


@cache
def recorded(workload: str, handler_ms: int, messages: int) -> tuple[History, list[NodeId]]:
    _, history, nodes = carried_out(plan(workload, 7, 1.0, messages, 1), handler_ms)
    return history, nodes


def replayed(kind: type[Algorithm], workload: str, handler_ms: int = 0, messages: int = 150) -> dict[str, Run]:
    return Replay(kind, *recorded(workload, handler_ms, messages), instant=not handler_ms).run()


def every(sends: Sequence[Planned], depth: int = 1) -> list[tuple[int, Planned]]:
    """(depth, message) of all that is sent."""
    return [
        found
        for planned in sends
        for found in ((depth, planned), *(deeper for then in planned.then for deeper in every(then, depth + 1)))
    ]


# -- plans -----------------------------------------------------------------------------------------------------


def test_slow_hops_are_one_frame_in_a_hundred_on_no_link_in_particular() -> None:
    planned = plan("graph", 10, 1.0, 5000, 1, SLOW_HOPS)
    delays = [delay for request in planned.requests for _, message in every(request.sends) for delay in message.delays]
    slow = [delay for delay in delays if delay > 1.5]
    assert len(slow) / len(delays) == pytest.approx(0.01, rel=0.4)
    assert all(20 <= delay <= 70 for delay in slow)
    assert planned.slow_hops
    assert not planned.slow


def test_chain_never_causes_two_messages_and_most_often_one() -> None:
    planned = plan("chains", 10, 1.0, 3000, 1)
    causes = [len(then) for request in planned.requests for _, message in every(request.sends) for then in message.then]
    assert set(causes) == {0, 1}
    assert sum(causes) / len(causes) == pytest.approx(0.55, abs=0.05)  # 0.6, and none at the end of six


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_handlers_of_a_service_run_than_may_at_once(at_once: int) -> None:
    planned = plan("uniform", 4, 1.0, 200, 1)
    history = History(4)
    the_world = world.World(planned, PROCESS, 1000, at_once=at_once, history=history)
    done = the_world.carry_out()
    running: Counter[int] = Counter()
    most = 0
    for event in history.events:
        running[event.service] += (event.kind is Kind.START) - (event.kind is Kind.SETTLE)
        most = max(most, running[event.service])
    assert most == at_once
    assert not done.violations


def test_production_graph_of_1000_services_has_the_degrees_of_the_large_system() -> None:
    links = production(1000, Random(3))
    outward = sorted(len(targets) for targets in links)
    count = Counter(target for targets in links for target in targets)
    inward = sorted(count[service] for service in range(1000))
    assert [outward[at] for at in (500, 900, 990)] == pytest.approx([4, 13, 93], rel=0.05)
    assert [inward[at] for at in (500, 900)] == [2, pytest.approx(12, rel=0.1)]
    assert inward[990] >= 70
    assert all(service not in targets for service, targets in enumerate(links))


def test_names_of_services_are_distinct_and_as_long_as_real_ones() -> None:
    names = names_of(1000, Random(1))
    assert len(set(names)) == 1000
    assert {len(name) for name in names} <= set(range(12, 21))


def test_slow_links_are_two_in_a_hundred() -> None:
    assert len(slow_links([[*range(1, 51)], [*range(2, 52)]], Random(1))) == 2


@pytest.mark.parametrize("workload", WORKLOADS)
def test_plan_keeps_to_its_rate_and_uses_its_own_links(workload: str) -> None:
    planned = plan(workload, 10, 0.5, 3000, 1)
    assert plan(workload, 10, 0.5, 3000, 1) == planned
    assert planned.messages / (10 * planned.requests[-1].at_us / 1000) == pytest.approx(0.5, rel=0.1)
    messages = [found for request in planned.requests for found in every(request.sends)]
    assert sorted(message.number for _, message in messages) == list(range(planned.messages))
    assert max(depth for depth, _ in messages) == DEPTH_MAX
    assert planned.slow <= planned.links


def test_request_trees_have_two_to_thirteen_services() -> None:
    sizes = {1 + len(every(request.sends)) for request in plan("trees", 30, 1.0, 3000, 1).requests}
    assert sizes == set(range(2, 14))


def test_multicasts_have_two_to_eight_distinct_destinations() -> None:
    planned = plan("multicast", 30, 1.0, 1000, 1)
    messages = [message for request in planned.requests for _, message in every(request.sends)]
    assert {len(message.to) for message in messages} == set(range(2, 9))
    assert all(len(set(message.to)) == len(message.to) for message in messages)


# -- frames ----------------------------------------------------------------------------------------------------


def frame_with_everything() -> SenderFrame:
    stamps = [
        Stamp(7, 2**60, {ME: 7, OTHER: 300}, {OTHER.name: {THIRD: frozenset((5, 6))}}, {ME: 8, OTHER: 70_000}),
        Stamp(8, 2**60 + 1, {ME: 8}, {}, None, 2**60 - 1, {THIRD.name: {OTHER: 4}}),
    ]
    return SenderFrame(
        number=200,
        base=Base(last=9, unsettled=(8, 9)),
        copies=tuple(Copy(8 + at, stamp, f"subject.{at}", bytes(300 * at)) for at, stamp in enumerate(stamps)),
        stable=(StableNumber(origin=OTHER, upto=299, lagging={THIRD.name: 12}),),
        questions=(Dot(THIRD.name, THIRD.incarnation, 5),),
    )


def encoded(frame: SenderFrame) -> bytes:
    encoder = SenderEncoder()
    encoder.encode(Hello(sender=ME, receiver=OTHER.name))
    return encoder.encode(frame)


def test_parts_and_payloads_of_a_frame_add_up_to_its_bytes() -> None:
    frame = frame_with_everything()
    data = encoded(frame)
    found = frame_parts.frame_parts(data)
    sums = dict(zip((*PARTS, "payload"), found.sums, strict=True))
    assert sum(sums.values()) == found.total == len(data)
    assert sums["payload"] == 300
    assert min(sums.values()) > 0
    without = encoded(dataclasses.replace(frame, stable=(), questions=()))
    assert frame_parts.frame_parts(without).sums[frame_parts.REPORTS] == 0
    assert len(data) - len(without) == pytest.approx(sums["reports"], abs=2)  # and the length of the whole


def test_ordering_part_of_a_row_is_what_the_encoder_writes_for_it() -> None:
    (copy,) = frame_with_everything().copies[:1]
    bare = copy._replace(stamp=copy.stamp._replace(after={}, elsewhere={}, clock={ME: 8}))
    (full,), (rest,) = (
        frame_parts.frame_parts(encoded(SenderFrame(number=1, copies=(each,)))).messages for each in (copy, bare)
    )
    # after [0, 7, 2, 300] in place of [], and elsewhere [[0, [5, 5, 5, 6]]], a column that the other has not.
    assert full[frame_parts.ORDERING] - rest[frame_parts.ORDERING] == (1 + 1 + 1 + 1 + 3 - 1) + (1 + 1 + 1 + 1 + 4)
    assert full[frame_parts.CLOCK] - rest[frame_parts.CLOCK] == 1 + 5
    assert full[frame_parts.FRAMING] == rest[frame_parts.FRAMING]


def test_frame_with_an_element_that_has_no_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(frame_with_everything())
    monkeypatch.delitem(frame_parts.FIELDS, "stable")
    with pytest.raises(KeyError, match="stable"):
        frame_parts.frame_parts(data)
    monkeypatch.setattr(frame_parts, "_COLUMN_PARTS", frame_parts._COLUMN_PARTS[:7])
    with pytest.raises(ValueError):
        frame_parts.frame_parts(data)


@pytest.mark.parametrize("value", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**60])
def test_cost_of_a_number_is_that_of_messagepack(value: int) -> None:
    assert costs.number(value) == len(msgpack.encode(value))


@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_cost_of_a_list_is_that_of_messagepack(count: int) -> None:
    assert costs.list_header(count) + count == len(msgpack.encode([0] * count))


def test_cost_of_the_other_destinations_leaves_out_the_receiver() -> None:
    assert costs.others((900,)) == 1
    assert costs.others((1, 2, 3)) == 1 + 2


def test_cost_of_a_definition_is_that_of_a_frame() -> None:
    reports = (StableNumber(origin=origin, upto=1, lagging={}) for origin in (ME, OTHER))
    plain, named = (encoded(SenderFrame(number=1, stable=(report,))) for report in reports)
    assert len(named) - len(plain) == costs.definition(OTHER, 1)


# -- runs and their oracle -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workload", "handler_ms"), [("graph", 1), ("multicast", 0)])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_run_of_each_variant_keeps_the_order(variant: Variant, workload: str, handler_ms: int) -> None:
    planned = plan(workload, 6, 1.0, 100, 1)
    done, history, _ = carried_out(planned, handler_ms, variant)
    assert done.violations == 0
    kinds = Counter(event.kind for event in history.events)
    copies = sum(len(to) for to in history.destinations.values())
    assert kinds[Kind.SEND] == planned.messages
    assert kinds[Kind.RECEIVE] == kinds[Kind.RELEASE] == kinds[Kind.START] == kinds[Kind.SETTLE] == copies
    found = done.to_dict()
    assert found["copies"] == sum(len(history.destinations[number]) for number in history.measured) > 0
    assert found["bytes"]["total"]["mean"] == pytest.approx(sum(found["bytes"][part]["mean"] for part in PARTS))
    if variant is PROCESS:
        assert (done.needless, done.controls) == (0, 0)


def test_run_of_the_same_plan_is_the_same_run() -> None:
    planned = plan("graph", 8, 1.0, 100, 1)
    assert carried_out(planned)[0].to_dict() == carried_out(planned)[0].to_dict()


def test_heartbeats_cost_control_messages_and_shorten_stamps() -> None:
    planned = plan("graph", 20, 0.1, 300, 1)
    runs = {name: carried_out(planned, 0, VARIANTS[name])[0].to_dict() for name in ("process", "process-5")}
    assert runs["process"]["controls"] == 0 < runs["process-5"]["controls"]
    assert runs["process-5"]["dots"]["mean"] < runs["process"]["dots"]["mean"]


def unordered_engine(variant: Variant, me: NodeId, peers: list[str], now_ms: int) -> Engine:
    return Engine(me, peers, lambda _: Ordering.NONE, variant.config)


def test_run_of_an_engine_without_order_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "make_engine", unordered_engine)
    cell = cells.cell(8, "graph", 1.0, messages=200, variants=("process",), algorithms=False)
    with pytest.raises(BenchmarkError, match=r"process broke the order [0-9]+ times: message [0-9]+ starts at service"):
        benchmark.run([cell])


def triangle() -> Oracle:
    """0 sends message 0 to 2, and message 1 to 1, whose handler is about to send."""
    oracle = Oracle(3, process_scope=True)
    oracle.sent(0, oracle.request(0), 0, (2,))
    oracle.sent(0, oracle.request(0), 1, (1,))
    oracle.released(1, 1, 1)
    oracle.sent(1, oracle.started(1, 1), 2, (2,))
    return oracle


def test_oracle_of_a_triangle_names_the_message_that_was_overtaken() -> None:
    oracle = triangle()
    oracle.held(2, 2)
    assert oracle.needless == 0
    oracle.released(2, 2, 2)
    assert oracle.violations == 1
    assert oracle.shown == ["message 2 starts at service 2 before message 0"]


def test_oracle_of_a_copy_released_by_something_unrelated_calls_it_needless() -> None:
    oracle = triangle()
    oracle.settled(2, 0)
    oracle.released(2, 2, 0)
    assert (oracle.violations, oracle.needless) == (0, 0)
    oracle.sent(0, oracle.request(0), 3, (2,))
    oracle.released(2, 2, 3)
    assert (oracle.violations, oracle.needless) == (0, 1)


def test_oracle_of_a_copy_held_for_nothing_calls_it_needless() -> None:
    oracle = triangle()
    oracle.settled(2, 0)
    oracle.held(2, 2)
    assert oracle.needless == 1


def test_oracle_of_context_scope_does_not_join_requests() -> None:
    oracle = Oracle(3, process_scope=False)
    oracle.sent(0, oracle.request(0), 0, (2,))
    oracle.sent(0, oracle.request(0), 1, (2,))
    oracle.released(2, 1, 1)
    assert (oracle.violations, oracle.needless) == (0, 0)


def test_ideal_dependencies_are_those_that_nothing_else_carries() -> None:
    oracle = triangle()
    past = oracle.request(1)
    # Message 2 is on its way to 2 and carries message 0; message 1 still runs at 1.
    one = 1 + 1 + 1 + (1 + 1)
    assert oracle.ideal(past) == 2 * one
    oracle.settled(1, 1)
    assert oracle.ideal(past) == one
    oracle.settled(2, 0)
    oracle.settled(2, 2)
    assert oracle.ideal(past) == 0


# -- the algorithms of the literature --------------------------------------------------------------------------


@pytest.mark.parametrize("handler_ms", [0, 1])
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_algorithm_holds_exactly_what_the_oracle_says(kind: type[Algorithm], workload: str, handler_ms: int) -> None:
    for run in replayed(kind, workload, handler_ms).values():
        assert (run.violations, run.needless) == (0, 0)
        assert len(run.total) > 0
        assert not kind.orders or run.waiting.held > 0


def test_clock_of_the_real_stamps_takes_a_byte_less_than_the_named_clock() -> None:
    """The algorithms' coin is that of our frames: same history, same entries, same bytes. But the sender's own entry is
    the number of the message, which is there already: an index is left in its place."""
    ours, history, nodes = carried_out(plan("graph", 9, 1.0, 200, 1))
    named = Replay(FullClock, history, nodes, instant=True).run()["named-clock"]
    less = ours.parts["clock"].to_dict()
    assert named.parts["clock"].to_dict() == {figure: pytest.approx(bytes_ + 1) for figure, bytes_ in less.items()}
    assert named.parts["clock"].mean > 10


def test_optimal_algorithm_carries_what_the_paper_says() -> None:
    for workload in WORKLOADS:
        replay = Replay(Both, *recorded(workload, 0, 150), instant=True)
        replay.run()
        assert isinstance(replay.algorithm, Both)
        assert replay.algorithm.compared >= 150


def test_matrix_of_a_triangle_waits_for_the_message_around_it() -> None:
    matrix = Matrix([ME, OTHER, THIRD])
    ((dense, sparse),) = matrix.send(0, 0, (2,))
    # Dense: nine zeros and their header, and no other destination. Nothing is in the sparse one yet.
    assert (dense.metadata, sparse.metadata) == (1 + 9 + 1, 1 + 1)
    matrix.send(0, 1, (1,))
    matrix.start(1, 1)
    ((_, sparse),) = matrix.send(1, 2, (2,))
    assert sparse.metadata == 1 + (1 + 1 + 4) + 1  # row 0: [1, 1, 2, 1]
    assert list(matrix.requirements(2, 2)) == [(0, 1)]
    matrix.start(2, 0)
    assert matrix.settle(2, 0) == 0
    assert matrix.progress[2][0] == 1
    assert matrix.words(0) == (9 + 3, 2 * 2 + 1 + 3)


def test_differential_clock_tells_each_receiver_only_what_is_new_to_it() -> None:
    clock = DifferentialClock([ME, OTHER, THIRD])
    sizes = [clock.send(0, number, (to,))[0][0].metadata for number, to in enumerate((1, 1, 2))]
    assert sizes == [3, 3, 3]
    clock.start(1, 0)
    ((told,),) = clock.send(1, 3, (2,))
    assert told.metadata == 1 + 2 * 2
    ((told,),) = clock.send(1, 4, (2,))
    assert told.metadata == 1 + 2


class ForgetfulMatrix(Matrix):
    """Learns nothing about what others have sent."""

    def _learn(self, service: int, place: int, version: int) -> None:
        if service == place:
            super()._learn(service, place, version)


class DeafClock(FullClock):
    """Merges nothing."""

    def start(self, service: int, number: int) -> None:
        self._transit.take(number)


class LateClock(DifferentialClock):
    """Takes what it has just learned for something told already."""

    def _raise(self, service: int, place: int, count: int, at: int) -> None:
        super()._raise(service, place, count, at - (place != service))


class HastyOptimal(Optimal):
    """Believes that what is sent is as good as delivered."""

    def start(self, service: int, number: int) -> None:
        super().start(service, number)
        log = self._logs[service]
        for origin, entries in log.items():
            log[origin] = Entries({entries.latest: entries.listed[entries.latest] & {service}})


@pytest.mark.parametrize("broken", [ForgetfulMatrix, DeafClock, LateClock, HastyOptimal])
def test_algorithm_that_is_broken_is_caught(broken: type[Algorithm]) -> None:
    runs = replayed(broken, "graph", messages=400)
    assert all(run.violations > 0 for run in runs.values())
    assert all(run.shown for run in runs.values())


class Anxious(Matrix):
    """Waits for one message more of each that it waits for at all."""

    def settle(self, service: int, number: int) -> int:
        origin = super().settle(service, number)
        self.progress[service][origin] -= self.progress[service][origin] == 1
        return origin


def test_algorithm_that_waits_too_long_is_caught() -> None:
    assert all(run.needless > 0 for run in replayed(Anxious, "graph").values())
