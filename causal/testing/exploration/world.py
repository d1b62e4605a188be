"""The steps of a world: what may happen next, and what comes of it.

A world is a tuple of numbers: one for each site, one for what is on each link, one for the judge's history, and
the faults that are left. Each number stands for a state that is kept once, as bytes, and each step of one site is
taken once: a step repeats what the engine did when it was given that input in that state before.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Hashable, Iterator
from types import MappingProxyType
from typing import Any, NamedTuple

from causal.ordering.frames import Hello, Welcome
from causal.testing.exploration.canonical import canonical_of
from causal.testing.exploration.judge import Event, Judge
from causal.testing.exploration.scenarios import Scenario
from causal.testing.exploration.site import DOWN, UP, Input, Parcel, Site
from causal.testing.exploration.times import PAUSE_MS, START_MS, forget_what_was_ticked, time_in_turn

State = tuple[int, ...]
"""Numbers of the sites, of the links, of the history, and the faults left, packed."""
FAULTS = ("repeated", "torn", "dropped", "failures", "beats", "pauses", "crashes")
MASK = 15
SHIFTS = {fault: 4 * at for at, fault in enumerate(FAULTS)}
"""Where in the packed number the count of each kind of fault stands."""


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))  # the empty mappings of stamps


class Line(NamedTuple):
    """What is on the stream of one link: by direction, frames in order and, of those, what will come again."""

    frames: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    again: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


class Step(NamedTuple):
    """What one site makes of one input."""

    site: int
    sent: tuple[tuple[int, int, int], ...]
    """Link, direction and frame."""
    events: tuple[Event, ...]
    breaks: bool = False
    """Whether the engine refused the frame, so that its stream is broken."""


class Action(NamedTuple):
    """One step of a world: the input of a site, or something that goes wrong with several."""

    place: int
    """Which site takes the input; -1 if it is not one of them alone."""
    given: Input
    link: int = -1
    direction: int = -1
    """Of the frame that arrives; -1 if none does."""
    how: str = ""
    """`twice`: the frame will come again; `again`: it does."""
    fault: str = ""
    """Which of the scenario's faults this is."""


class World:
    """All that can be reached from the start of a scenario, found as it is asked for."""

    def __init__(self, scenario: Scenario, convicting: frozenset[str] | None = None) -> None:
        """`convicting`: the kinds of violations that count. With it an error of the engine only breaks a stream,
        and broken invariants are not looked at: for engines that are known to be wrong."""
        self.scenario = scenario
        self._convicting = convicting
        self._clock_moves = scenario.in_turn or scenario.pauses > 0
        self.names = scenario.nodes
        self.links = scenario.links
        self.sites: list[bytes] = []
        self.violations: list[tuple[str, ...]] = []
        """Of each history."""
        self.broken: list[str] = []
        """Invariants of engines that were found not to hold."""
        self.steps_taken = 0
        self._sends: list[int] = []
        """Of each site, how many messages its node has sent."""
        self._judges: list[bytes] = []
        self._parcels: list[Parcel] = []
        self._lines: list[Line] = []
        self._site_ids: dict[Hashable, int] = {}
        self._judge_ids: dict[Hashable, int] = {}
        self._parcel_ids: dict[Hashable, int] = {}
        self._line_ids: dict[Line, int] = {}
        self._steps: dict[tuple[int, Input, int], Step] = {}
        self._heard: dict[tuple[int, tuple[Event, ...]], int] = {}
        self._enabled: dict[int, list[Action]] = {}
        self._arriving: dict[tuple[int, int], list[Action]] = {}
        self._possible: dict[tuple[int, int], list[Action]] = {}
        self._taken: dict[tuple[int, int, int, str], int] = {}
        self._pushed: dict[tuple[int, int, int], int] = {}
        self._at_line, self._at_judge = len(self.names), len(self.names) + len(self.links)
        self._link_at = {link: number for number, link in enumerate(self.links)}
        self._empty = self._line_id(Line())

    # -- the start ---------------------------------------------------------------------------------------------

    def start(self) -> State:
        """The first world; unless the scenario is cold, every stream is open and has carried the base."""
        scenario = self.scenario
        sites = [self._site_id(Site(name, 1, scenario)) for name in self.names]
        left = sum(getattr(scenario, fault) << shift for fault, shift in SHIFTS.items())
        state: State = (*sites, *[self._empty] * len(self.links), self._judge_id(Judge(scenario)), left)
        opens = ("dial", "transmit", "heard", "answered")
        while not scenario.cold:
            action = next((a for a in self.actions(state) if a.given.verb in opens), None)
            if action is None:
                break
            state = self.after(state, action)
        return state

    # -- what may happen ---------------------------------------------------------------------------------------

    def actions(self, state: State) -> list[Action]:
        """What must happen sooner or later, in some order; nothing if the world is at rest."""
        found: list[Action] = []
        for site in state[: self._at_line]:
            enabled = self._enabled.get(site)
            if enabled is None:
                enabled = self._enabled[site] = self._of_site(site)
            found += enabled
        for at in range(self._at_line, self._at_judge):
            line = state[at]
            if line != self._empty:
                arriving = self._arriving.get((at, line))
                if arriving is None:
                    arriving = self._arriving[at, line] = list(self._arrivals(at - self._at_line, self._lines[line]))
                found += arriving
        return found

    def _of_site(self, number: int) -> list[Action]:
        site = self.site(number)
        place = self.names.index(site.name)
        return [Action(place, given) for given in site.enabled(self.scenario)]

    def _arrivals(self, link: int, line: Line) -> Iterator[Action]:
        for direction in (DOWN, UP):
            if line.frames[direction]:
                yield self._arrival(link, direction, line.frames[direction][0])
            for frame in line.again[direction]:
                yield self._arrival(link, direction, frame, "again")

    def _arrival(self, link: int, direction: int, frame: int, how: str = "", fault: str = "") -> Action:
        sender, receiver = self.links[link]
        name, other = (receiver, sender) if direction == DOWN else (sender, receiver)
        verb = "heard" if direction == DOWN else "answered"
        return Action(self.names.index(name), Input(verb, peer=other, frame=frame), link, direction, how, fault)

    def faults(self, state: State) -> list[Action]:
        """What may go wrong, as far as the scenario still allows it."""
        left = state[-1]
        if not left:
            return []
        # What goes wrong with a site or a stream does not depend on the others.
        found: list[Action] = []
        for part in enumerate(state[: self._at_judge]):
            possible = self._possible.get(part)
            if possible is None:
                possible = self._possible[part] = list(self._faults_at(*part))
            found += possible
        if self.scenario.pauses:
            found.append(Action(-1, Input("pause"), fault="pauses"))
        return [action for action in found if left >> SHIFTS[action.fault] & MASK]

    def _faults_at(self, at: int, number: int) -> Iterator[Action]:
        if at < self._at_line:
            site = self.site(number)
            for message in site.may_drop():
                yield Action(at, Input("drop", message), fault="dropped")
            for message in sorted(site.running):
                yield Action(at, Input("fail", message), fault="failures")
            if site.name in self.scenario.beating:
                yield Action(at, Input("beat"), fault="beats")
            if site.name in self.scenario.crashing:
                yield Action(-1, Input("crash", peer=site.name), fault="crashes")
            for peer in self._opened_by(site):
                yield Action(-1, Input("tear", peer=peer), self._link_at[site.name, peer], fault="torn")
            return
        line = self._lines[number]
        for direction in (DOWN, UP):
            for frame in line.frames[direction][:1]:
                if not isinstance(self._parcels[frame].frame, Hello | Welcome):
                    yield self._arrival(at - self._at_line, direction, frame, "twice", "repeated")

    def _opened_by(self, site: Site) -> list[str]:
        open_ = {peer for peer, link in site.engine.outbound.items() if link.connected} | site.dialling
        return sorted(open_ - {site.name})

    # -- what comes of it --------------------------------------------------------------------------------------

    def after(self, state: State, action: Action) -> State:
        """The world after one step."""
        place, given, _, direction, _, fault = action
        new = list(state)
        if direction >= 0:
            self.take_off(new, action)
        if fault:
            new[-1] -= 1 << SHIFTS[fault]
        if place >= 0:
            breaks = self.apply(new, place, given, self.now_ms(state, given) if self._clock_moves else START_MS)
            if breaks and direction >= 0:
                self._tear(new, action.link)
        elif given.verb == "tear":
            self._tear(new, action.link)
        elif given.verb == "crash":
            self._crash(new, given.peer)
        return tuple(new)

    def now_ms(self, state: State, given: Input | None = None) -> int:
        """The time in that world, when an input is given in it."""
        start = START_MS
        if self.scenario.in_turn:
            sent = sum([self._sends[site] for site in state[: self._at_line]])
            start = time_in_turn(sent, sends=given is not None and given.verb == "send")
        return start + PAUSE_MS * (self.scenario.pauses - (state[-1] >> SHIFTS["pauses"] & MASK))

    def take_off(self, new: list[int], action: Action) -> None:
        """The frame that arrives leaves the stream; or it stays, to come again."""
        at = self._at_line + action.link
        key = (new[at], action.direction, action.given.frame, action.how)
        line = self._taken.get(key)
        if line is None:
            line = self._taken[key] = self._take(*key)
        new[at] = line

    def _take(self, line: int, direction: int, frame: int, how: str) -> int:
        frames, again = map(list, self._lines[line])
        if how == "again":
            left = list(again[direction])
            left.remove(frame)
            again[direction] = tuple(left)
        else:
            frames[direction] = frames[direction][1:]
        if how == "twice":
            again[direction] = tuple(sorted((*again[direction], frame)))
        return self._line_id(Line((frames[0], frames[1]), (again[0], again[1])))

    def apply(self, new: list[int], place: int, given: Input, now_ms: int) -> bool:
        """Give a site an input; returns whether its engine refuses the frame."""
        key = (new[place], given, now_ms)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._step(*key)
        new[place] = step.site
        for link, direction, frame in step.sent:
            at = self._at_line + link
            pushed = (new[at], direction, frame)
            line = self._pushed.get(pushed)
            if line is None:
                line = self._pushed[pushed] = self._push(*pushed)
            new[at] = line
        if step.events:
            self.hear(new, step.events)
        return step.breaks

    def _push(self, line: int, direction: int, frame: int) -> int:
        frames, again = self._lines[line]
        longer = (*frames[direction], frame)
        return self._line_id(Line((longer, frames[1]) if direction == DOWN else (frames[0], longer), again))

    def hear(self, new: list[int], events: tuple[Event, ...]) -> None:
        """Tell the judge."""
        key = (new[self._at_judge], events)
        judge = self._heard.get(key)
        if judge is None:
            heard: Judge = pickle.loads(self._judges[key[0]])
            heard.hear(events)
            judge = self._heard[key] = self._judge_id(heard)
        new[self._at_judge] = judge

    def _tear(self, new: list[int], link: int) -> None:
        """Both ends notice; what is on the stream is gone."""
        sender, receiver = self.links[link]
        new[self._at_line + link] = self._empty
        self.apply(new, self.names.index(sender), Input("broken", peer=receiver), START_MS)
        self.apply(new, self.names.index(receiver), Input("gone", peer=sender), START_MS)

    def _crash(self, new: list[int], name: str) -> None:
        """The node starts again as the next incarnation and knows nothing; its streams are gone."""
        for link, ends in enumerate(self.links):
            if name in ends:
                self._tear(new, link)
        place = self.names.index(name)
        former = self.site(new[place])
        site = Site(name, former.engine.me.incarnation + 1, self.scenario)
        site.sent = former.sent
        new[place] = self._site_id(site)
        self.hear(new, (("crashes", name, site.engine.me.incarnation),))

    def verdict(self, state: State) -> tuple[str, ...]:
        """What the judge has found wrong on the way to this world."""
        return self.violations[state[self._at_judge]]

    # -- numbers of states -------------------------------------------------------------------------------------

    def site(self, number: int) -> Site:
        """A site of this number, to look at or to go on with."""
        site: Site = pickle.loads(self.sites[number])
        return site

    def parcel(self, number: int) -> Parcel:
        """The frame of this number."""
        return self._parcels[number]

    def _step(self, site_id: int, given: Input, now_ms: int) -> Step:
        site = self.site(site_id)
        if self.scenario.in_turn:
            forget_what_was_ticked(site.engine)
        self.steps_taken += 1
        parcel = self._parcels[given.frame] if given.frame >= 0 else None
        effects = site.do(given, parcel, self.scenario, now_ms)
        sent = []
        for peer, direction, each in effects.sent:
            link = (site.name, peer) if direction == DOWN else (peer, site.name)
            sent.append((self._link_at[link], direction, self._parcel_id(each)))
        if self._convicting is None:
            return Step(self._site_id(site), tuple(sent), tuple(effects.events))
        events = tuple(event for event in effects.events if event[0] != "errs")
        return Step(self._site_id(site), tuple(sent), events, len(events) < len(effects.events))

    def _site_id(self, site: Site) -> int:
        key = site.key()
        number = self._site_ids.get(key)
        if number is None:
            number = self._site_ids[key] = len(self.sites)
            self.sites.append(pickle.dumps(site, pickle.HIGHEST_PROTOCOL))
            self._sends.append(len(site.sent))
            if self._convicting is None:
                self.broken += site.broken()
        return number

    def _judge_id(self, judge: Judge) -> int:
        key = judge.key()
        number = self._judge_ids.get(key)
        if number is None:
            number = self._judge_ids[key] = len(self._judges)
            self._judges.append(pickle.dumps(judge, pickle.HIGHEST_PROTOCOL))
            counted = [text for text in judge.violations if self._counts(text)]
            self.violations.append(tuple(counted))
        return number

    def _counts(self, violation: str) -> bool:
        return self._convicting is None or violation.partition(":")[0] in self._convicting

    def _parcel_id(self, parcel: Parcel) -> int:
        key = (parcel.by, canonical_of(parcel.frame, timed=self.scenario.timed, in_turn=self.scenario.in_turn))
        number = self._parcel_ids.get(key)
        if number is None:
            number = self._parcel_ids[key] = len(self._parcels)
            self._parcels.append(parcel)
        return number

    def _line_id(self, line: Line) -> int:
        number = self._line_ids.get(line)
        if number is None:
            number = self._line_ids[line] = len(self._lines)
            self._lines.append(line)
        return number


def describe(world: World, action: Action) -> str:
    """One step in words."""
    name = world.names[action.place] if action.place >= 0 else "-"
    given: dict[str, Any] = {}
    if action.given.message >= 0:
        given["message"] = action.given.message
    if action.given.peer:
        given["peer"] = action.given.peer
    if action.given.frame >= 0:
        given["frame"] = world.parcel(action.given.frame).frame
    return f"{name} {action.given.verb} {action.how} " + ", ".join(f"{key} {value}" for key, value in given.items())
