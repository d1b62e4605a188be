"""For the tests of services and of adapters: what users and this project itself test with.

`Cluster` runs a user's own nodes on an in-memory network; `contracts` are the suites that adapters must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal.testing.cluster import Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> object:
    """Load `Cluster` when it is used: the simulator and the contracts do without a node."""
    if name == "Cluster":
        from causal.testing.cluster import Cluster

        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
