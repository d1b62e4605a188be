"""The algorithms of the literature, each written from its paper, with its messages counted in the same coin as ours.

They know all services and their places from the start, need no names, no restarts and no links that break: what
they save by that is left to them. Where delivery is one moment in a paper, a handler that takes time makes two of it
here: what is sent follows a message from the start of its handler, and its successors may start when it has ended.
With handlers that take no time both are one, as in the papers.
"""

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.differential_clock import DifferentialClock
from benchmarks.clock_growth.algorithms.full_clock import FullClock
from benchmarks.clock_growth.algorithms.matrix import Matrix
from benchmarks.clock_growth.algorithms.optimal import Optimal

ALGORITHMS: tuple[type[Algorithm], ...] = (FullClock, DifferentialClock, Matrix, Optimal)

__all__ = ["ALGORITHMS", "Algorithm", "DifferentialClock", "Encoding", "FullClock", "Matrix", "Optimal", "Size"]
