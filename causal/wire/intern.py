"""The tables of a stream: what is written in full once and is a small integer afterwards.

Writing, a table is a dict that defines what it lacks; its new definitions wait in `fresh` until a frame has
been encoded with them. Should encoding fail, they go with the next frame, so both ends always agree.
Reading, a table is a dict from index to value that refuses to be redefined.
"""

from __future__ import annotations

from collections.abc import Sequence

from causal.errors import InvalidNameError, ProtocolError, SubjectError
from causal.ordering.dot import NodeId
from causal.ordering.names import validate_name, validate_subject
from causal.ordering.scope import Scope
from causal.wire.limits import NUMBER_END, SUBJECTS_INTERNED_MAX, TABLE_MAX, TableFullError
from causal.wire.v1 import frames_pb2 as pb


class WrittenOrigins(dict[NodeId, int]):
    """Origin → index; a lookup defines it."""

    def __init__(self, writer: NodeId | None = None) -> None:
        super().__init__({} if writer is None else {writer: 0})
        self.writer = writer
        self.fresh: list[pb.Origin] = []

    def __missing__(self, origin: NodeId) -> int:
        index = len(self)
        if index >= TABLE_MAX:
            raise TableFullError("origins")
        self.fresh.append(origin_of(origin, index))
        self[origin] = index
        return index


class WrittenNames(dict[str, int]):
    """Name of a destination → index; a lookup defines it."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[pb.Name] = []

    def __missing__(self, name: str) -> int:
        index = len(self)
        if index >= TABLE_MAX:
            raise TableFullError("destinations")
        self.fresh.append(pb.Name(index=index, name=name))
        self[name] = index
        return index


class WrittenSubjects(dict[str, int | str]):
    """Subject → index; a lookup defines it, or gives the subject back when enough have been defined."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[pb.Name] = []

    def __missing__(self, subject: str) -> int | str:
        index = len(self)
        if index >= SUBJECTS_INTERNED_MAX:
            return subject
        self.fresh.append(pb.Name(index=index, name=subject))
        self[subject] = index
        return index


class ReadOrigins(dict[int, NodeId]):
    """Index → origin."""

    def __init__(self) -> None:
        super().__init__()
        self._names: set[str] = set()
        self.names_are_distinct = True
        """No two origins have a name in common, so that no clock can have two entries of a name."""

    def define(self, definitions: Sequence[pb.Origin]) -> None:
        """Take a frame's definitions. Raises `ProtocolError` if one is malformed or contradicts another."""
        checked_count(definitions, TABLE_MAX, "definitions")
        for definition in definitions:
            index = definition.index
            origin = checked_node(definition.name, definition.incarnation, definition.scope)
            if _is_new(self.get(index), origin, index, "origins"):
                self._set(index, origin)

    def add(self, name: str, incarnation: int, scope: int) -> None:
        """Take the next of a list, at the index that is its place. Raises `ProtocolError`."""
        self._set(len(self), checked_node(name, incarnation, scope))

    def _set(self, index: int, origin: NodeId) -> None:
        self[index] = origin
        self._names.add(origin.name)
        self.names_are_distinct = len(self._names) == len(self)


class ReadNames(dict[int, str]):
    """Index → name of a destination."""

    def define(self, definitions: Sequence[pb.Name]) -> None:
        """See `ReadOrigins.define`."""
        checked_count(definitions, TABLE_MAX, "definitions")
        for definition in definitions:
            index, name = definition.index, checked_name(definition.name)
            if _is_new(self.get(index), name, index, "destinations"):
                self[index] = name


class ReadSubjects(dict[int, str]):
    """Index → subject."""

    def define(self, definitions: Sequence[pb.Name]) -> None:
        """See `ReadOrigins.define`."""
        checked_count(definitions, TABLE_MAX, "definitions")
        for definition in definitions:
            index, subject = definition.index, checked_subject(definition.name)
            if _is_new(self.get(index), subject, index, "subjects"):
                self[index] = subject


_SCOPES = {Scope.PROCESS: pb.SCOPE_PROCESS, Scope.CONTEXT: pb.SCOPE_CONTEXT}
_SCOPES_READ: dict[int, Scope] = {number: scope for scope, number in _SCOPES.items()}


def origin_of(node: NodeId, index: int, scope: Scope = Scope.PROCESS) -> pb.Origin:
    """An origin's definition. `scope` is the writer's own, in Hello; of others the entries of stamps tell."""
    return pb.Origin(index=index, name=node.name, incarnation=node.incarnation, scope=_SCOPES[scope])


def checked_scope(scope: int) -> Scope:
    """A scope read from outside. Raises `ProtocolError`."""
    known = _SCOPES_READ.get(scope)
    if known is None:
        raise ProtocolError(f"an origin has scope {scope}, which this version does not know")
    return known


def checked_node(name: str, incarnation: int, scope: int) -> NodeId:
    """An origin read from outside, whatever its scope. Raises `ProtocolError`."""
    checked_scope(scope)
    if incarnation >= NUMBER_END:
        raise ProtocolError(f"an origin has incarnation {incarnation}, at or past 2^53")
    return NodeId(checked_name(name), incarnation)


def checked_name(name: str) -> str:
    """A node name read from outside. Raises `ProtocolError`."""
    try:
        return validate_name(name)
    except InvalidNameError as error:
        raise ProtocolError(str(error)) from error


def checked_subject(subject: str) -> str:
    """A subject read from outside. Raises `ProtocolError`."""
    try:
        return validate_subject(subject)
    except SubjectError as error:
        raise ProtocolError(str(error)) from error


def checked_count(items: Sequence[object], limit: int, what: str) -> None:
    """Refuse a list that is too long. Raises `ProtocolError`."""
    if len(items) > limit:
        raise ProtocolError(f"{len(items)} {what}, more than {limit}")


def _is_new(known: object | None, value: object, index: int, table: str) -> bool:
    if known is None:
        if index >= TABLE_MAX:
            raise ProtocolError(f"index {index} of the {table} is at or past {TABLE_MAX}")
        return True
    if known != value:
        raise ProtocolError(f"index {index} of the {table} is defined again, as something else")
    return False
