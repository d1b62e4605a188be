"""Two processes that have one name, and one incarnation if they started in the same millisecond (faults B6, C6)."""

from __future__ import annotations

import pytest

from causal.errors import ProtocolError
from causal.ordering import Dot, Engine, EngineConfig, NodeId, Output
from causal.ordering.frames import Hello, Refusal, RefusalCode, Welcome
from causal.ordering.reincarnation import can_reincarnate, reincarnate
from tests.ordering.links import START_MS, by_subject, refused, unchanged

S1, S2 = NodeId("S1", 7), NodeId("S2", 1)
SILENCE_MS = 500


def engine(me: NodeId, process: int, *peers: str) -> Engine:
    return Engine(me, peers, by_subject, EngineConfig(silence_max_ms=SILENCE_MS), process=process)


@pytest.fixture
def first() -> Engine:
    return engine(S1, 11, "S2")


@pytest.fixture
def second() -> Engine:
    """Started in the same millisecond, and has sent a message to whoever lets it in."""
    second = engine(S1, 22, "S2")
    second.send(("S2",), "s", b"the second's", START_MS)
    return second


@pytest.fixture
def receiver(first: Engine) -> Engine:
    """It has let the first process in and settled a message of it."""
    receiver = engine(S2, 33, "S1")
    first.send(("S2",), "s", b"the first's", START_MS)
    assert isinstance(dial(first, receiver), Welcome)
    assert [dot.seq for dot in carry(first, receiver)] == [1]
    return receiver


def dial(sender: Engine, receiver: Engine, now_ms: int = START_MS) -> Welcome | Refusal:
    """A new stream, if the receiver lets the sender in; its answer."""
    answer, output = receiver.greeted(sender.hello(receiver.me.name), now_ms)
    if isinstance(answer, Welcome):
        sender.welcomed(receiver.me.name, answer)
    else:
        assert output == Output()
    return answer


def carry(sender: Engine, receiver: Engine) -> list[Dot]:
    """Move what the sender has and handle it; what settles by that at the sender."""
    frame = sender.transmit(receiver.me.name, START_MS, heartbeat=True)
    assert frame is not None
    for arrival in receiver.arrived(sender.me, frame, START_MS).ready:
        receiver.start(arrival)
        receiver.finish(arrival)
    report = receiver.report(sender.me)
    return [] if report is None else sender.reported(receiver.me.name, report, START_MS).settled


def refusal(answer: Welcome | Refusal) -> tuple[RefusalCode, int]:
    assert isinstance(answer, Refusal)
    return answer.code, answer.incarnation


# -- senders -----------------------------------------------------------------------------------------------------


def test_b6_c6_second_process_of_an_incarnation_is_refused_and_neither_loses_anything(
    first: Engine, second: Engine, receiver: Engine
) -> None:
    with unchanged(receiver):
        answer = dial(second, receiver)
    assert refusal(answer) == (RefusalCode.NAME_TAKEN, 0)
    assert "another process has the name S1, started in the same millisecond" in str(answer)
    assert "one process per name, stop one of them" in str(answer)
    assert [dot.seq for dot in second.unsettled] == [1], "a message of another process is not counted as settled"
    assert can_reincarnate(second)
    first.send(("S2",), "s", b"goes on", START_MS)
    assert [dot.seq for dot in carry(first, receiver)] == [2]


def test_b6_process_that_was_let_in_comes_back_with_its_number(first: Engine, receiver: Engine) -> None:
    receiver.hung_up(S1)
    answer = dial(first, receiver)
    assert isinstance(answer, Welcome)
    assert (answer.known, answer.received_to, answer.process) == (True, 1, 33)


def test_b6_process_that_is_cut_off_keeps_its_name_as_long_as_a_stream_may_be_silent(
    first: Engine, second: Engine, receiver: Engine
) -> None:
    receiver.hung_up(S1)
    now = START_MS + 10 * SILENCE_MS  # nobody has asked before: it may have been connected a moment ago
    for ms in (now, now + SILENCE_MS - 1):
        assert refusal(dial(second, receiver, ms)) == (RefusalCode.NAME_TAKEN, 0)
    assert isinstance(dial(first, receiver), Welcome)
    receiver.hung_up(S1)
    for ms in (now + SILENCE_MS, now + 2 * SILENCE_MS - 1):  # the time begins anew
        assert refusal(dial(second, receiver, ms)) == (RefusalCode.NAME_TAKEN, 0)
    answer = dial(second, receiver, now + 2 * SILENCE_MS)
    assert refusal(answer) == (RefusalCode.STALE_INCARNATION, 7)
    assert "another process has been here as S1/7 and is away" in str(answer)


def test_b6_process_that_is_connected_when_it_is_asked_for_begins_its_absence_anew(
    first: Engine, second: Engine, receiver: Engine
) -> None:
    receiver.hung_up(S1)
    dial(second, receiver, START_MS)
    receiver.settlement.inbound[S1].connected = True  # as if it had come and gone between two questions
    dial(second, receiver, START_MS + 1)
    receiver.hung_up(S1)
    assert refusal(dial(second, receiver, START_MS + SILENCE_MS)) == (RefusalCode.NAME_TAKEN, 0)


def test_b6_clock_that_goes_back_makes_nobody_wait_for_longer_than_the_silence(
    second: Engine, receiver: Engine
) -> None:
    receiver.hung_up(S1)
    dial(second, receiver, START_MS + 3_600_000)
    dial(second, receiver, START_MS)
    assert refusal(dial(second, receiver, START_MS + SILENCE_MS)) == (RefusalCode.STALE_INCARNATION, 7)


def test_b6_second_process_takes_over_under_a_later_incarnation_and_the_first_is_told_so(
    first: Engine, second: Engine, receiver: Engine
) -> None:
    receiver.hung_up(S1)
    dial(second, receiver, START_MS)
    _, later = refusal(dial(second, receiver, START_MS + SILENCE_MS))
    reincarnate(second, later + 1)
    assert isinstance(dial(second, receiver), Welcome)
    assert carry(second, receiver) == [Dot("S1", 8, 1)]
    assert receiver.settlement.refused_since == {}
    answer = dial(first, receiver)
    assert refusal(answer) == (RefusalCode.STALE_INCARNATION, 0)
    assert "another process has the name S1 and is connected to S2 as incarnation 8, later than 7" in str(answer)
    assert not can_reincarnate(first)


def test_b6_process_that_was_never_here_drives_no_later_one_out_that_is_connected(
    first: Engine, second: Engine, receiver: Engine
) -> None:
    """Nobody is told which is the latest, as long as that is connected."""
    latest = engine(NodeId("S1", 9), 44, "S2")
    assert isinstance(dial(latest, receiver), Welcome)
    assert refusal(dial(second, receiver)) == (RefusalCode.STALE_INCARNATION, 0)
    assert refusal(dial(engine(NodeId("S1", 8), 55, "S2"), receiver)) == (RefusalCode.STALE_INCARNATION, 0)
    assert refusal(dial(first, receiver)) == (RefusalCode.STALE_INCARNATION, 0)
    receiver.hung_up(latest.me)
    assert refusal(dial(second, receiver)) == (RefusalCode.STALE_INCARNATION, 9)


# -- receivers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def dialled(first: Engine) -> Engine:
    """It has sent two messages to the first process, which has settled one of them, and the stream is gone."""
    dialled = engine(S2, 33, "S1")
    dialled.send(("S1",), "s", b"", START_MS)
    dial(dialled, first)
    assert [dot.seq for dot in carry(dialled, first)] == [1]
    dialled.disconnected("S1")
    dialled.send(("S1",), "s", b"", START_MS)
    return dialled


def test_b6_receiver_that_is_another_process_of_the_same_incarnation_is_not_believed(
    second: Engine, dialled: Engine
) -> None:
    dialled.hello("S1")
    claims = Welcome(
        receiver=S1,
        known=True,
        received_to=2,
        missing=(),
        beyond=(),
        unsettled=(),
        window_messages=1,
        window_bytes=1,
        process=second.process,
    )
    with refused(dialled, ProtocolError, "two processes have the name S1, started in the same millisecond"):
        dialled.welcomed("S1", claims)
    assert [dot.seq for dot in dialled.unsettled] == [2]


def test_b6_receiver_that_is_the_process_it_was_goes_on(first: Engine, dialled: Engine) -> None:
    assert isinstance(dial(dialled, first), Welcome)
    assert [dot.seq for dot in carry(dialled, first)] == [2]


def test_receiver_of_a_later_incarnation_may_be_any_process(dialled: Engine) -> None:
    later = engine(NodeId("S1", 8), 22)
    assert isinstance(dial(dialled, later), Welcome)
    assert [dot.seq for dot in carry(dialled, later)] == [2]


# -- one process, whoever dials ------------------------------------------------------------------------------------


def test_b6_process_that_dials_is_refused_while_another_one_of_its_incarnation_is_dialled(
    first: Engine, second: Engine, dialled: Engine
) -> None:
    dial(dialled, first)
    assert refusal(dial(second, dialled, START_MS)) == (RefusalCode.NAME_TAKEN, 0)
    assert refusal(dial(second, dialled, START_MS + SILENCE_MS)) == (RefusalCode.NAME_TAKEN, 0)
    assert isinstance(dial(first, dialled), Welcome)
    dialled.disconnected("S1")
    dialled.hung_up(S1)
    dial(second, dialled, START_MS)
    assert refusal(dial(second, dialled, START_MS + SILENCE_MS)) == (RefusalCode.STALE_INCARNATION, 7)


def test_b6_process_that_is_dialled_is_not_believed_if_another_one_of_its_incarnation_has_dialled(
    second: Engine, receiver: Engine
) -> None:
    answer, _ = second.greeted(receiver.hello("S1"), START_MS)
    assert isinstance(answer, Welcome)
    with refused(receiver, ProtocolError, "two processes have the name S1"):
        receiver.welcomed("S1", answer)
    assert can_reincarnate(second), "nothing was sent to it"


def test_stream_to_an_earlier_run_does_not_keep_the_name_of_a_later_one(dialled: Engine, first: Engine) -> None:
    dial(dialled, first)
    later = NodeId("S1", 8)
    dialled.greeted(Hello(sender=later, receiver="S2", process=1), START_MS)
    twin = Hello(sender=later, receiver="S2", process=2)
    assert refusal(dialled.greeted(twin, START_MS)[0]) == (RefusalCode.NAME_TAKEN, 0)
    dialled.hung_up(later)
    dialled.greeted(twin, START_MS)
    assert refusal(dialled.greeted(twin, START_MS + SILENCE_MS)[0]) == (RefusalCode.STALE_INCARNATION, 8)
