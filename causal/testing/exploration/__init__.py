"""Exhaustive exploration of the real engine: a few nodes and messages, in every order in which things can happen.

A *world* is the engines of some nodes, what is on the streams between them, and the judge's history. From a
scenario's first world everything that may happen next is tried: a client or a handler sends, frames are put on a
stream, the first frame of a stream arrives, a handler starts or ends, what is settled is reported, and, as often
as the scenario allows, something goes wrong. Worlds that are the same are explored once.

What makes it quick is that an engine is a function of its state and its input. So each *site* (an engine and its
caller's notes) is given an input once; a world is a tuple of numbers of sites, streams and history, and a step
that some other world has taken already is two look-ups.

    scenarios.py   what is sent, and what may go wrong
    site.py        one engine and what its caller does
    judge.py       the history of `causal.testing.history`, as a value
    times.py       the clocks, and what of their timestamps counts
    canonical.py   when two states are the same
    world.py       the steps of a world
    rest.py        what must be true in the end
    search.py      breadth first through all of them
"""
