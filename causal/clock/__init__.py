"""Logical clocks, pure: no time, no randomness, no I/O; whoever calls says what the physical clock reads.

Two clocks with two duties. The *vector clock* tells how any two messages relate (before, after,
concurrent, same) and grows with the number of origins; where the two clocks disagree, it is right. The
*hybrid logical clock* fits into 64 bits, agrees with happened-before and stays near physical time, but
cannot tell concurrent events apart: it bounds and sorts. Neither says what a message waits for: that is said
by the dots in its stamp (`causal.ordering`).
"""

from causal.clock.hybrid import HybridClock, HybridTimestamp
from causal.clock.relation import Relation
from causal.clock.vector import VectorClock

__all__ = ["HybridClock", "HybridTimestamp", "Relation", "VectorClock"]
