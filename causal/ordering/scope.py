"""Whose past a node's messages follow."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """A node's setting, fixed for an incarnation; nodes of both scopes mix freely, the receiver's rule is the same."""

    PROCESS = "process"
    """A message follows all that its process has sent and begun to handle: its messages are a chain (Lamport)."""
    CONTEXT = "context"
    """A message follows what the same handler, request or task has, and what was sent or handled here about the same
    key: its messages stand each for itself."""
