"""What is sent in an exploration, and what may go wrong."""

from __future__ import annotations

from dataclasses import dataclass

from causal.ordering.verdict import Ordering


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a scenario. Its place in the scenario is its number."""

    sender: str
    to: tuple[str, ...]
    cause: int | None = None
    """The message in whose handler at `sender` it is sent; None: a client sends it, at any time."""
    subject: str = "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Messages between nodes, and how often what may go wrong. `states`: how many distinct worlds it has."""

    name: str
    messages: tuple[Message, ...]
    states: int
    """The exact number. Change it only together with a change of the protocol that explains it. 0: not known."""
    cold: bool = False
    """Whether the streams are still to be opened when the exploration begins."""
    repeated: int = 0
    """Frames that arrive again, at any time after they have arrived."""
    torn: int = 0
    """Streams that break, with whatever is on them."""
    dropped: int = 0
    """Messages that are dead-lettered before their handler starts."""
    failures: int = 0
    """Handlers that fail and run again."""
    beats: int = 0
    """Heartbeats of a node, on all of its streams at once."""
    beating: tuple[str, ...] = ("S1", "S2", "S3")
    """The nodes that have them."""
    pauses: int = 0
    """Times that so long goes by that what is unsettled lags, and that a dot without a report is asked about."""
    crashes: int = 0
    """Restarts of a node without a store."""
    crashing: tuple[str, ...] = ()
    """The nodes that may crash; nobody else does."""
    frame_messages: int = 512
    window_messages: int = 4096
    dependencies_max: int = 64
    in_turn: bool = False
    """Whether clocks go by the number of messages sent so far, in all of the world; else physical time stands still.
    See `times.py`: it makes far fewer states of the same runs where timestamps are compared."""
    back: bool = False
    """Whether each link has one in the other direction, besides those that messages need."""

    @property
    def timed(self) -> bool:
        """Whether timestamps are compared: by horizons, which come of a bound and of losses."""
        return self.dependencies_max < 64 or self.crashes > 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({m.sender for m in self.messages} | {name for m in self.messages for name in m.to}))

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Who dials whom."""
        links = {(m.sender, name) for m in self.messages for name in m.to if name != m.sender}
        if self.back:
            links |= {(receiver, sender) for sender, receiver in links}
        return tuple(sorted(links))


def ordering_of(subject: str) -> Ordering:
    """The subject `none` is not ordered, all others are."""
    return Ordering.NONE if subject == "none" else Ordering.CAUSAL


TRIANGLE = (Message("S1", ("S3",)), Message("S1", ("S2",)), Message("S2", ("S3",), 1))
"""The first must be handled at S3 before the last, which only knows of it by way of S2."""
CYCLE = (Message("S1", ("S3",)), Message("S1", ("S2", "S3")), Message("S2", ("S3", "S1"), 1))
"""A triangle whose sides are multicasts, and an answer."""
SIBLINGS = (Message("S1", ("S2", "S3")), Message("S2", ("S3",), 0))
"""One multicast, one of whose copies causes a message to where the other one goes."""
ECHO = (Message("S1", ("S2",)), Message("S2", ("S1",), 0), Message("S1", ("S2", "S3"), 1))
"""There, back, and there again while the first handler runs."""
BOOMERANG = (Message("S3", ("S2",)), Message("S2", ("S1",), 0), Message("S1", ("S2",), 1))
"""Comes back, by way of another, to a node that still handles what caused it."""
FAN = (*TRIANGLE, Message("S1", ("S3",)))
"""Two messages wait at S3 for the same one."""
ROUND = (*SIBLINGS, Message("S3", ("S1",), 1), Message("S1", ("S2",), 2))
"""A multicast, and on from one to the next until it is back at the first who got it."""
ALL = ("S1", "S2", "S3")

QUICK = (
    # The one that a reader should look at first: 3 nodes, 3 messages with a triangle and multicasts, one duplicate.
    Scenario(name="cycle", messages=CYCLE, repeated=1, states=218_682),
    Scenario(name="siblings", messages=SIBLINGS, repeated=1, states=1_720),
    Scenario(name="triangle", messages=TRIANGLE, repeated=1, torn=1, states=56_156),
    Scenario(name="echo", messages=ECHO, repeated=1, failures=1, states=54_113),
    Scenario(name="boomerang", messages=BOOMERANG, repeated=1, failures=1, states=2_376),
    Scenario(name="fan", messages=FAN, repeated=1, states=56_523),
    Scenario(name="credit", messages=FAN, repeated=1, frame_messages=1, window_messages=1, states=31_870),
    Scenario(name="cold", messages=TRIANGLE, cold=True, states=10_286),
    Scenario(name="beaten", messages=TRIANGLE, beats=2, states=321_830),
    Scenario(name="lagging", messages=SIBLINGS, pauses=1, beats=1, states=83_809),
    Scenario(
        name="none",
        messages=(*TRIANGLE[:2], Message("S2", ("S3",), 1, "none"), Message("S2", ("S3",), 1)),
        failures=1,
        states=9_624,
    ),
    Scenario(name="dropped", messages=(*TRIANGLE, Message("S2", ("S3",), 1)), dropped=1, states=5_365),
    Scenario(name="self", messages=(Message("S1", ("S1", "S2")), Message("S1", ("S1", "S2"), 0)), torn=1, states=2_383),
    Scenario(name="crash", messages=TRIANGLE, crashes=1, crashing=("S1",), states=100_062),
    Scenario(name="bounded", messages=TRIANGLE, dependencies_max=0, repeated=1, states=39_492),
    Scenario(name="bounded-siblings", messages=SIBLINGS, dependencies_max=0, repeated=1, states=24_613),
    # The same with clocks in turn: fewer states of all that clocks can do.
    Scenario(name="crash-in-turn", messages=TRIANGLE, crashes=1, crashing=("S1",), in_turn=True, states=66_374),
    Scenario(name="bounded-in-turn", messages=TRIANGLE, dependencies_max=0, repeated=1, in_turn=True, states=18_740),
)
"""For every run of the tests: seconds each, on one core."""

DEEP = (
    Scenario(name="crash-any", messages=TRIANGLE, crashes=1, crashing=ALL, states=195_284),
    Scenario(name="bounded-cold", messages=TRIANGLE, dependencies_max=0, cold=True, states=99_947),
    Scenario(name="cycle-torn", messages=(*SIBLINGS, Message("S3", ("S2",))), torn=1, repeated=1, states=1_605_762),
    Scenario(name="four-torn", messages=ROUND, repeated=1, torn=1, states=1_662_874),
    # Not of S3: S2 would keep a dot of its former incarnation for S1, and have no link on which S1 could tell it that
    # this one is settled (S1 is asked for a stable number, and nobody has that any more). Order is kept all the same.
    Scenario(name="four-crash", messages=ROUND, crashes=1, crashing=("S1", "S2"), in_turn=True, states=2_978_934),
    # Without a frame that comes again (with one: beyond ten minutes).
    Scenario(name="fan-crash", messages=FAN, crashes=1, crashing=ALL, in_turn=True, states=2_940_356),
    # Of the sender and the relay (with the receiver too: beyond ten minutes).
    Scenario(
        name="triangle-two-crashes", messages=TRIANGLE, crashes=2, crashing=("S1", "S2"), in_turn=True, states=2_127_460
    ),
    Scenario(name="triangle-lagging", messages=TRIANGLE, pauses=1, beats=2, states=2_919_985),
    # With one heartbeat out of its turn (with two: beyond ten minutes).
    Scenario(
        name="garbage",
        messages=SIBLINGS,
        crashes=1,
        crashing=("S2",),
        pauses=1,
        beats=1,
        beating=("S3",),
        in_turn=True,
        states=1_792_578,
    ),
)
"""For `make explore`: up to some ten minutes each."""


def named(name: str) -> Scenario:
    """The scenario of that name; `LookupError` with the known ones if there is none."""
    known = {scenario.name: scenario for scenario in (*QUICK, *DEEP)}
    if name not in known:
        raise LookupError(f"no scenario {name!r}; there are {', '.join(known)}")
    return known[name]
