"""The settings of a node: one frozen record, validated once; the environment is read here only."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from typing import Any

from causal.errors import ConfigurationError
from causal.ordering.names import validate_name
from causal.ordering.output import EngineConfig
from causal.ordering.scope import Scope

_LIMITS = EngineConfig()

_FOR_EVER_MS = 1e15

_MOST = {
    "body_max_bytes": 2 * 1024 * 1024,  # with its stamp it must fit into a frame, which has 4 MiB
    "clock_entries_max": 4096,
    "dependencies_max": _LIMITS.dots_max,
    "outbox_messages": 100_000,  # a base lists the whole outbox, which handlers may fill twice
    "window_messages": 100_000,
}
"""Limits beyond which what this node says would be refused by its peers, for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What a node is told at its construction. Raises `ConfigurationError` or `InvalidNameError`."""

    name: str
    listen: str | None = None
    """`host:port` to accept senders at; port 0 takes a free one. None: this node only sends."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """Name → `host:port` of the nodes that this one sends to."""
    store: str = "memory:"
    trace: str | None = None
    """Path of a trace in JSON Lines, appended to."""
    insecure: bool = False
    """Allows a listening address beyond loopback without TLS."""
    scope: str = "process"
    """Whose past a send follows: "process", everything that this process has sent and handled (Lamport's
    happened-before); "context", only what the same handler, opened context or task has, and the same key."""
    concurrency: int = 64
    """Handlers that may run at a time."""
    heartbeat_interval: float = 0.1
    """Seconds of silence on a link before a heartbeat; stable numbers are never older than that."""
    silence_max: float = 5.0
    """Seconds without a frame after which a stream counts as broken; at least ten heartbeats are allowed."""
    reconnect_first: float = 0.05
    """Seconds before the first attempt to reconnect; doubled each time, with jitter."""
    reconnect_max: float = 1.0
    """The longest pause between two attempts, in seconds: how late at most a peer's return is noticed."""
    drain_timeout: float = 10.0
    """Seconds that leaving the node waits for what is unsettled."""
    body_max_bytes: int = 1024 * 1024
    """The largest body, in bytes of MessagePack."""
    dead_letters_max: int = 1000
    """Dead letters kept; the oldest go first, all are counted."""
    dead_letters_bytes: int = 16 * 1024 * 1024
    """The same in bytes of payload."""
    dependencies_max: int = _LIMITS.dependencies_max
    """Dots that a stamp lists, 0 to 4,096, before the oldest are folded into one timestamp (its horizon). Order stays
    exact; a message may then wait for one round trip to each sender, and for what it does not follow."""
    links_known_after: float = _LIMITS.links_known_after_ms / 1000
    """Seconds that this node, which starts without its state, gives senders that knew it before to dial it again."""
    clock_entries_max: int = _LIMITS.clock_entries_max
    """Entries of the vector clock in a stamp; a larger clock is left out."""
    drift_max_ms: int = _LIMITS.drift_max_ms
    """How far ahead a peer's clock may be, in ms."""
    outbox_messages: int = _LIMITS.outbox_messages
    """Unsettled messages to one peer, past which a send waits."""
    outbox_bytes: int = _LIMITS.outbox_bytes
    """The same in bytes of payload."""
    window_messages: int = _LIMITS.window_messages
    """Unsettled messages that this node takes from one sender."""
    window_bytes: int = _LIMITS.window_bytes
    """The same in bytes of payload and of what long stamps take in memory."""

    def __post_init__(self) -> None:
        validate_name(self.name)
        self._check_types()
        for name, address in self.peers.items():
            validate_name(name)
            check_address(f"the address of {name}", address, least_port=1)
        if self.name in self.peers:
            raise ConfigurationError(f"peers= names {self.name} itself; a node can send to itself without that")
        self._check_numbers()
        if self.listen is not None:
            check_listen(self.listen, insecure=self.insecure)
        if self.store != "memory:":
            raise ConfigurationError(f"store={self.store!r} is not known; this version has store='memory:'")

    def _check_types(self) -> None:
        peers: object = self.peers
        if not isinstance(peers, Mapping):
            raise ConfigurationError(
                f"peers={peers!r} must map names to addresses, such as {{'S2': '127.0.0.1:7002'}}: "
                "a sender has to know where its peers listen"
            )
        object.__setattr__(self, "peers", dict(peers))  # what the caller changes later does not count
        trace: object = self.trace
        if trace is not None and not isinstance(trace, str):
            raise ConfigurationError(f"trace={trace!r} must be the path of a file, such as 's1.jsonl'")
        insecure: object = self.insecure
        if not isinstance(insecure, bool):
            raise ConfigurationError(f"insecure={insecure!r} must be True or False")

    def _check_numbers(self) -> None:
        for name in ("heartbeat_interval", "silence_max", "reconnect_first", "reconnect_max"):
            seconds: object = getattr(self, name)
            if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name} must be a number of seconds above 0, not {seconds!r}")
        for name in ("drain_timeout", "links_known_after"):
            pause: object = getattr(self, name)
            if not isinstance(pause, int | float) or not 0 <= pause < math.inf:
                raise ConfigurationError(f"{name} must be a number of seconds from 0, not {pause!r}")
        for name in ("concurrency", "body_max_bytes", "dead_letters_max", "dead_letters_bytes"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{name} must be a whole number from 1, not {value!r}")
        if self.scope not in list(Scope):
            known = ", ".join(repr(str(scope)) for scope in Scope)
            raise ConfigurationError(f"scope={self.scope!r} is not known; this version has {known}")
        self.engine()  # which checks its own part
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise ConfigurationError(f"{name}={getattr(self, name)} must be at most {most}: peers refuse more")

    @property
    def silence_seconds(self) -> float:
        """How long a stream may be silent before it counts as broken."""
        return max(self.silence_max, 10 * self.heartbeat_interval)

    def engine(self) -> EngineConfig:
        """The part that the ordering engine needs."""
        return EngineConfig(
            dependencies_max=self.dependencies_max,
            links_known_after_ms=int(self.links_known_after * 1000),
            clock_entries_max=self.clock_entries_max,
            drift_max_ms=self.drift_max_ms,
            outbox_messages=self.outbox_messages,
            outbox_bytes=self.outbox_bytes,
            window_messages=self.window_messages,
            window_bytes=self.window_bytes,
            silence_max_ms=math.ceil(min(1000 * self.silence_seconds, _FOR_EVER_MS)),
            scope=Scope(self.scope),
        )


def config_of(
    limits: Mapping[str, float], *, peers: Mapping[str, str] | None, trace: str | os.PathLike[str] | None, **given: Any
) -> NodeConfig:
    """What a node was given. Raises `TypeError` for a setting that there is not, and what `NodeConfig` raises."""
    if unknown := limits.keys() - NodeConfig.__slots__:
        known = ", ".join(NodeConfig.__slots__)
        raise TypeError(f"Node() has no setting {', '.join(sorted(unknown))}; settings: {known}")
    path = os.fspath(trace) if isinstance(trace, os.PathLike) else trace
    whole: Any = limits  # that numbers are whole where they must be is checked by NodeConfig itself
    return NodeConfig(peers={} if peers is None else peers, trace=path, **given, **whole)


def check_address(what: str, address: object, *, least_port: int) -> str:
    """The host of an address of the form `host:port`; raises `ConfigurationError` for any other."""
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not (port.isascii() and port.isdecimal()) or not least_port <= int(port) <= 65535:
        raise ConfigurationError(
            f"{what} is {address!r}, and must be host:port with a port from {least_port} to 65535, "
            "for instance 127.0.0.1:7001"
        )
    return host


def check_listen(address: str, *, insecure: bool) -> None:
    """Raise `ConfigurationError` if the address is not `host:port`, or can be reached by others unprotected."""
    host = check_address("listen", address, least_port=0)
    if insecure or host == "localhost":
        return
    try:
        local = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ConfigurationError(
            f"listen={address!r} can be reached from other machines without TLS: listen on 127.0.0.1, "
            "or say insecure=True if the network itself keeps strangers out"
        )


def from_environment(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings in `CAUSAL_NAME`, `_LISTEN`, `_PEERS` (`S1=host:port,…`), `_STORE`, `_TRACE`, and any other
    setting of a plain type under its upper-case name, such as `CAUSAL_CONCURRENCY`.

    Raises `ConfigurationError` for a variable that is not known or a value of a wrong form.
    """
    environment = os.environ if environment is None else environment
    known = {f"CAUSAL_{f.name.upper()}": f for f in fields(NodeConfig)}
    settings: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith("CAUSAL_"):
            continue
        setting = known.get(variable)
        if setting is None:
            raise ConfigurationError(f"{variable} is not a setting; known: {', '.join(sorted(known))}")
        settings[setting.name] = _parse(variable, text, str(setting.type))
    return settings


def _parse(variable: str, text: str, kind: str) -> object:
    try:
        if kind.startswith("Mapping"):
            return _peers(text)
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "bool":
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
    except (ValueError, KeyError):
        form = "S1=host:port,S2=host:port" if kind.startswith("Mapping") else {"bool": "1 or 0"}.get(kind, kind)
        raise ConfigurationError(f"{variable}={text!r} must be of the form {form}") from None
    return text


def _peers(text: str) -> dict[str, str]:
    pairs = [_pair(item) for item in text.split(",") if item.strip()]
    peers = dict(pairs)
    if len(peers) < len(pairs):
        raise ValueError("a name comes twice")
    return peers


def _pair(item: str) -> tuple[str, str]:
    name, separator, address = item.strip().partition("=")
    if not separator or not name or not address:
        raise ValueError(item)
    return name.strip(), address.strip()
