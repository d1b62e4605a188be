"""How one event relates to another in happened-before."""

from __future__ import annotations

from enum import StrEnum


class Relation(StrEnum):
    """What `a.compare(b)` says of `a`: "a is … b".

    The relation is that of Lamport 1978, "Time, clocks, and the ordering of events in a distributed system".
    """

    BEFORE = "before"
    """`a` happened before `b`: `b` may depend on it."""
    AFTER = "after"
    """`b` happened before `a`."""
    CONCURRENT = "concurrent"
    """Neither happened before the other."""
    SAME = "same"
    """They are one event, or two with the same causal past."""
    NOT_AFTER = "not_after"
    """What is known excludes AFTER and nothing else.

    Vector clocks never answer this; messages do, where a clock was left out for its size or counts an older
    incarnation of a node.
    """
