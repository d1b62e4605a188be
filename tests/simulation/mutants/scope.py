"""Rules of context scope, keys and tokens, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from causal.ordering import tokens
from causal.ordering.context import CausalContext
from causal.ordering.contexts import Contexts, Recalled
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.ordering.tokens import Token
from causal.testing import work
from tests.simulation.mutants.registry import mutant


@mutant
def a_context_leaks_from_one_request_to_another() -> Iterator[None]:
    true = Contexts.open

    def opened(self: Contexts) -> CausalContext:
        leaking: CausalContext = self.__dict__.setdefault("leaking", true(self))
        return leaking

    with patch.object(Contexts, "open", opened):
        yield


@mutant
def a_handler_goes_on_in_the_context_of_the_last_one() -> Iterator[None]:
    true = Contexts._open_for

    def open_for(self: Contexts, arrival: Arrival, *, shared: bool = False) -> CausalContext:
        context = true(self, arrival, shared=shared)
        context.absorb(self.__dict__.get("last", context), self._settlement.is_settled)
        self.__dict__["last"] = context
        return context

    with patch.object(Contexts, "_open_for", open_for):
        yield


@mutant
def key_history_is_dropped_before_it_has_settled() -> Iterator[None]:
    true = Contexts._remember

    def remember(self: Contexts, recalled: Recalled, entry: CausalContext) -> CausalContext:
        return entry if isinstance(recalled, str) else true(self, recalled, entry)

    with patch.object(Contexts, "_remember", remember):
        yield


@mutant
def key_history_is_that_of_the_last_message_alone() -> Iterator[None]:
    true = Contexts._remember

    def remember(self: Contexts, recalled: Recalled, entry: CausalContext) -> CausalContext:
        if isinstance(recalled, str):
            mine = self._settlement.me
            entry = entry.copy()
            entry.pending = {name: dots for name, dots in entry.pending.items() if list(dots) == [mine]}
            entry.ages = {name: entry.ages[name] for name in entry.pending}
        return true(self, recalled, entry)

    with patch.object(Contexts, "_remember", remember):
        yield


@mutant
def keys_and_messages_are_remembered_for_ever() -> Iterator[None]:
    with patch.object(Contexts, "_look", lambda self, most: iter(())):
        yield


@mutant
def a_token_is_observed_without_its_timestamp() -> Iterator[None]:
    def observe(engine: Engine, context: CausalContext, token: Token, now_ms: int) -> None:
        engine.contexts.keep(context)
        context.merge(token.pending, engine.settlement.is_settled, token.timestamp, token.closed)
        engine.counts.merge(token.clock)

    with patch.object(work, "observe", observe):
        yield


@mutant
def a_token_is_observed_without_its_dots() -> Iterator[None]:
    true = tokens.observe

    def observe(engine: Engine, context: CausalContext, token: Token, now_ms: int) -> None:
        true(engine, context, token._replace(pending={}, closed={}), now_ms)

    with patch.object(work, "observe", observe):
        yield


@mutant
def own_messages_in_context_scope_count_as_a_chain() -> Iterator[None]:
    with patch.object(Contexts, "seqs", lambda self, seq: seq):
        yield


@mutant
def a_message_named_is_followed_without_what_it_follows() -> Iterator[None]:
    true = Contexts._follow

    def follow(self: Contexts, staged: CausalContext, origin: NodeId, seq: int) -> None:
        followed = CausalContext()
        true(self, followed, origin, seq)
        for name, dots in followed.pending.items():
            seqs = dots.get(origin)
            if seqs is not None and (seqs == seq if isinstance(seqs, int) else seq in seqs):
                named = seq if isinstance(seqs, int) else frozenset((seq,))
                staged.add(name, origin, named, followed.ages[name][origin])

    with patch.object(Contexts, "_follow", follow):
        yield


@mutant
def an_own_message_named_is_not_followed_unless_it_is_remembered() -> Iterator[None]:
    with patch.object(Contexts, "_follow_unsettled", lambda *_: None):
        yield


@mutant
def what_a_message_carries_for_others_is_not_remembered() -> Iterator[None]:
    true = Contexts._remember

    def remember(self: Contexts, recalled: Recalled, entry: CausalContext) -> CausalContext:
        return entry if isinstance(recalled, tuple) else true(self, recalled, entry)

    with patch.object(Contexts, "_remember", remember):
        yield
