"""The judge of the simulator, as a value that an exploration can compare: `causal.testing.history.History`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from causal.ordering.stamp import Stamp
from causal.testing.exploration.scenarios import Scenario, ordering_of
from causal.testing.facts import Place
from causal.testing.history import History

Event = tuple[str, *tuple[Any, ...]]
"""What a site did, for the judge: a verb and what belongs to it."""
NO_STAMP = Stamp(previous=0, timestamp=0, after={}, elsewhere={}, clock=None)
"""Clocks are the simulator's part: timestamps differ between runs that are one and the same here."""


def order_at(name: str, subject: str) -> Any:
    """Every node orders a subject alike."""
    return ordering_of(subject)


class Judge:
    """A history in which messages go by their numbers in the scenario, whatever the order of their sends."""

    def __init__(self, scenario: Scenario) -> None:
        self._messages = scenario.messages
        self._history = History(scenario.nodes, order_at)
        self._sent: list[int] = []
        """The scenario's numbers in the order of sending; a place in it is the history's number."""

    @property
    def violations(self) -> list[str]:
        """What is wrong, in words."""
        return self._history.violations

    def hear(self, events: tuple[Event, ...]) -> None:
        """Take in what has happened."""
        for verb, *about in events:
            getattr(self, f"_{verb}")(*about)

    def key(self) -> Hashable:
        """Equal for two histories that judge whatever follows alike."""
        history = self._history
        messages = [
            (number, sent.dot, self._bits(sent.past)) for number, sent in zip(self._sent, history.messages, strict=True)
        ]
        places = [(name, self._place(place)) for name, place in sorted(history.places.items())]
        return (tuple(sorted(messages)), tuple(places), tuple(history.violations))

    def _place(self, place: Place) -> Hashable:
        values = [getattr(place, name) for name in Place.__slots__]
        return tuple([self._bits(v) if isinstance(v, int) else tuple(sorted(v.items())) for v in values])

    def _bits(self, bits: int) -> int:
        """The same set, by the scenario's numbers."""
        return sum(1 << number for at, number in enumerate(self._sent) if bits >> at & 1)

    def _number(self, message: int) -> int:
        return self._sent.index(message) if message in self._sent else len(self._sent)

    # -- events ------------------------------------------------------------------------------------------------

    def _sends(self, message: int, dot: Any) -> None:
        sent = self._messages[message]
        self._history.sent(dot, dot.incarnation, tuple(dict.fromkeys(sent.to)), sent.subject, NO_STAMP)
        self._sent.append(message)

    def _receives(self, name: str, message: int) -> None:
        self._history.received(name, self._number(message))

    def _starts(self, name: str, message: int, ordered: bool, missing: Any) -> None:
        self._history.named(name, missing)
        self._history.started(name, self._number(message), ordered=ordered)

    def _fails(self, name: str, message: int) -> None:
        self._history.failed(name, self._number(message))

    def _finishes(self, name: str, message: int) -> None:
        self._history.finished(name, self._number(message))

    def _holds(self, name: str, message: int) -> None:
        self._history.judge_held(name, self._number(message))

    def _claims(self, dot: Any) -> None:
        self._history.judge_settled(dot)

    def _hears(self, name: str, sender: Any) -> None:
        self._history.heard(name, sender)

    def _is_told(self, name: str, origin: Any, last: int, unsettled: tuple[int, ...]) -> None:
        self._history.stated(name, origin, last, unsettled)

    def _crashes(self, name: str, incarnation: int) -> None:
        self._history.crashed(name, incarnation)

    def _errs(self, text: str) -> None:
        self._history.blame(f"error: {text}")

    def _ends(self, runs: tuple[tuple[str, int], ...], reasons: tuple[str, ...]) -> None:
        for reason in reasons:
            self._history.blame(f"not at rest: {reason}")
        self._history.judge_complete(dict(runs))
