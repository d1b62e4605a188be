"""The rules of the engine, each taken away in turn: what the simulator has to notice.

Each mutant is a patch of the engine's classes for the time of a `with`; the product has no switch for any of
them. While one is in place nothing but the judgements of `causal.testing.history` may convict it: refusals of
malformed frames are off, errors of the engine only break a stream, invariants are not looked at.
"""

from __future__ import annotations

from tests.simulation.mutants import bounded, departures, exact, scope, silence
from tests.simulation.mutants.registry import MUTANTS

__all__ = ["MUTANTS", "bounded", "departures", "exact", "scope", "silence"]
