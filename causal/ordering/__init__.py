"""The ordering engine: causal delivery as a pure state machine.

Theory of operation
===================
*The guarantee.* For messages m1 → m2 (the send of one happened before the send of the other) and a node d that
both are addressed to, d's handler for m2 starts only after m1 is settled at d. Messages that are not so related
never wait for each other.

*Why not a vector clock alone.* A clock that counts sends says that S1 sent something before, but not to whom.
Waiting for what was never addressed here blocks for ever, and not waiting breaks the triangle S1→S3 m1,
S1→S2 m2, S2→S3 m3. So a stamp says which predecessors *this destination* has to see (`after`), and carries
what other destinations must see before whatever this message causes (`elsewhere`).

*One message, from end to end.*

1. `Engine.send` takes a dot and an HLC tick. For each destination d the copy's `after` is what the sender's
   context has pending for d; `elsewhere` is what it has pending for the others, and the message itself for the
   other destinations of a multicast. From then on the message stands for all that was pending at d: it carries
   it. (`context.py`)
2. The link carries copies in the order of sending; `previous` shows a gap, which is asked for again exactly.
   A stream that breaks is resumed from what the receiver says it has. (`link.py`, `frames.py`)
3. At d a copy is *ready* when every dot of `after` is settled at d, or covered by a base or a stable number;
   else it is registered under ONE missing dot and looked at again when that one settles. (`holdback.py`,
   `settlement.py`, `delivery.py`)
4. When the handler *starts*, d's context takes over `elsewhere`, and the message's own dot for d itself as long
   as it is not settled: whatever the handler sends follows the message everywhere, also back here.
5. When the handler has finished the message is *settled* and acknowledged: never on receipt, and never out of
   turn, since acknowledged means that nobody needs to carry it on.
6. Once a dot is settled at its destination, contexts forget it: the origin by acknowledgement, the others by
   the origin's stable number, which travels the way the dots did. (`stability.py`)

*Silence.* A stamp also says something by what it does not list: what its sender has followed and lists no more is
settled, or carried by what it lists. How far the sender has come say its vector clock, the dots that it lists, and
where clocks are left out a few counts on its frames. So in process scope contexts shrink with every message, along
any way. (`silence.py`, `heard.py`)

*Bounded stamps.* When a stamp would list more than `dependencies_max` dots, the oldest are folded into a *horizon*, a
timestamp: whatever is addressed to the receiver and is not later precedes the message. The receiver waits until every
link into it has been heard past the horizon (it asks those that are idle) and nothing older is left to settle. Order
stays exact; a message may wait for what it does not follow. (`context.py`, `horizon.py`)

*Restarts.* A node that starts without its state is a new incarnation. To a receiver that knows nothing, a sender
states its *base*: up to which seq all is settled, and what is not and will come. From a sender that is a new
incarnation, what the old one never got across is *lost*: whoever waits for it is released, with a verdict, once all
that is older than itself has come and is settled, since what a lost message had followed is not known.

*Departures.* A sender that leaves with everything settled says goodbye; one that is away can be evicted, and what waits
for a receiver that is away can be given up, both by an operator. Of what is gone a small record stays, for good.
(`departure.py`, `former.py`, `farewell.py`, `giving_up.py`)

*Twins.* Two processes with one name are a mistake. The one with the later incarnation has the name; of two with the
same one, the first that was let in. The other is refused, says so, and loses nothing unawares. (`greeting.py`)

Sources: Lamport (1978) for happened-before; Schwarz and Mattern (1994) and Kshemkalyani and Singhal (1998) for
per-destination dependencies; Fidge (1988) and Mattern (1989) for vector clocks; Kulkarni et al. (2014) for HLC.
"""

from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.ordering.output import EngineConfig, Output
from causal.ordering.verdict import Ordering, Verdict, VerdictKind

__all__ = [
    "Arrival",
    "Dot",
    "Engine",
    "EngineConfig",
    "NodeId",
    "Ordering",
    "Output",
    "Verdict",
    "VerdictKind",
]
