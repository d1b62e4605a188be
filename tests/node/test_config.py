"""Settings: each is checked where it is given, and the text says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from causal import ConfigurationError, InvalidNameError, Node
from causal.node.config import NodeConfig, from_environment


@pytest.mark.parametrize("address", ["127.0.0.1:7001", "127.9.9.9:0", "localhost:7001", "[::1]:7001", "::1:7001"])
def test_listen_at_a_loopback_address_is_accepted(address: str) -> None:
    assert NodeConfig(name="S1", listen=address).listen == address


@pytest.mark.parametrize("address", ["0.0.0.0:7001", "[::]:7001", "10.0.0.1:7001", "example.org:7001", "s1:1"])
def test_listen_beyond_loopback_is_refused_unless_insecure_is_said(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"without TLS.*insecure=True"):
        NodeConfig(name="S1", listen=address)
    assert NodeConfig(name="S1", listen=address, insecure=True).listen == address


@pytest.mark.parametrize("address", ["", "7001", "127.0.0.1", "127.0.0.1:", "h:x", "h:65536", ":7001", "h:²", "h:-1"])
def test_listen_of_a_bad_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="must be host:port"):
        NodeConfig(name="S1", listen=address, insecure=True)


@pytest.mark.parametrize("address", ["", "7001", "h:0", "h:", "h:99999", 7001, None])
def test_peer_address_of_a_bad_form_is_refused(address: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"the address of S2 is .*must be host:port with a port from 1"):
        NodeConfig(name="S1", peers={"S2": address})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"heartbeat_interval": 0}, "heartbeat_interval must be a number of seconds above 0, not 0"),
        ({"silence_max": float("inf")}, "silence_max"),
        ({"reconnect_first": "soon"}, "reconnect_first"),
        ({"reconnect_max": float("nan")}, "reconnect_max"),
        ({"drain_timeout": -1}, "drain_timeout must be a number of seconds from 0, not -1"),
        ({"concurrency": 0}, "concurrency must be a whole number from 1, not 0"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": 2.5}, "concurrency"),
        ({"dead_letters_max": 0}, "dead_letters_max"),
        ({"body_max_bytes": 0}, "body_max_bytes"),
        ({"body_max_bytes": 3 * 1024 * 1024}, "body_max_bytes=3145728 must be at most 2097152: peers refuse more"),
        ({"clock_entries_max": 5000}, "clock_entries_max"),
        ({"clock_entries_max": -1}, "clock_entries_max"),
        ({"outbox_messages": 1_000_000}, "outbox_messages"),
        ({"window_messages": 1_000_000}, "window_messages"),
        ({"window_bytes": 0}, "window_bytes"),
        ({"dependencies_max": -1}, "dependencies_max must be a whole number from 0"),
        ({"dependencies_max": 4097}, "dependencies_max=4097 must be at most 4096"),
        ({"links_known_after": -1}, "links_known_after must be a number of seconds from 0"),
        ({"drain_timeout": float("inf")}, "drain_timeout must be a number of seconds from 0"),
        ({"drift_max_ms": -1}, "drift_max_ms"),
        ({"drift_max_ms": "500"}, "drift_max_ms"),
        ({"store": "sqlite:///s.db"}, "store='sqlite:///s.db' is not known; this version has store='memory:'"),
        ({"scope": "thread"}, "scope='thread' is not known; this version has 'process', 'context'"),
        ({"peers": {"S1": "127.0.0.1:7001"}}, "peers= names S1 itself"),
        ({"peers": ["S2"]}, "peers=['S2'] must map names to addresses, such as {'S2': '127.0.0.1:7002'}"),
        ({"peers": "S2=127.0.0.1:7002"}, "peers='S2=127.0.0.1:7002' must map names to addresses"),
        ({"peers": 0}, "peers=0 must map names to addresses"),
        ({"trace": 5}, "trace=5 must be the path of a file"),
        ({"trace": b"s1.jsonl"}, "trace=b's1.jsonl' must be the path of a file"),
        ({"insecure": "false"}, "insecure='false' must be True or False"),
    ],
)
def test_setting_out_of_range_is_refused_by_name(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Node("S1", **settings)
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a\nb", "x" * 129, 5, None])
def test_f4_name_that_cannot_be_carried_is_refused_for_the_node_and_for_a_peer(name: Any) -> None:
    with pytest.raises(InvalidNameError):
        Node(name)
    with pytest.raises(InvalidNameError):
        Node("S1", peers={name: "127.0.0.1:7001"})


def test_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match="no setting heartbeat; settings: name, listen, peers"):
        Node("S1", heartbeat=1)


def test_peers_are_those_that_were_given_whatever_becomes_of_the_mapping() -> None:
    peers = {"S2": "127.0.0.1:7002"}
    node = Node("S1", peers=peers)
    peers.clear()
    assert node.config.peers == {"S2": "127.0.0.1:7002"}
    assert Node("S1", peers=None).config.peers == {}


def test_trace_may_be_a_path() -> None:
    assert Node("S1", trace=Path("s1.jsonl")).config.trace == "s1.jsonl"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without any CAUSAL_ variable of the machine that runs the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("CAUSAL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_from_env_takes_every_variable(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NAME": "S2",
        "LISTEN": "127.0.0.1:7002",
        "PEERS": "S1=127.0.0.1:7001, S3=localhost:7003,",
        "STORE": "memory:",
        "TRACE": "s2.jsonl",
        "CONCURRENCY": "8",
        "HEARTBEAT_INTERVAL": "0.5",
        "INSECURE": "true",
    }.items():
        environment.setenv(f"CAUSAL_{name}", value)
    assert Node.from_env().config == NodeConfig(
        name="S2",
        listen="127.0.0.1:7002",
        peers={"S1": "127.0.0.1:7001", "S3": "localhost:7003"},
        trace="s2.jsonl",
        concurrency=8,
        heartbeat_interval=0.5,
        insecure=True,
    )
    assert Node.from_env(concurrency=9, name="S9").config.concurrency == 9


def test_from_env_without_a_name_is_refused_unless_one_is_given(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="CAUSAL_NAME is not set"):
        Node.from_env()
    assert Node.from_env(name="S1").name == "S1"


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CAUSAL_HEARBEAT", "1", "CAUSAL_HEARBEAT is not a setting; known: CAUSAL_BODY_MAX_BYTES, "),
        ("CAUSAL_PEERS", "S1", "CAUSAL_PEERS='S1' must be of the form S1=host:port,S2=host:port"),
        ("CAUSAL_PEERS", "=host:1", "CAUSAL_PEERS"),
        ("CAUSAL_PEERS", "S1=h:1,S1=h:2", "CAUSAL_PEERS"),
        ("CAUSAL_CONCURRENCY", "many", "CAUSAL_CONCURRENCY='many' must be of the form int"),
        ("CAUSAL_DRAIN_TIMEOUT", "ten", "must be of the form float"),
        ("CAUSAL_INSECURE", "perhaps", "must be of the form 1 or 0"),
    ],
)
def test_from_env_names_the_variable_that_is_wrong(variable: str, value: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_environment({"CAUSAL_NAME": "S1", variable: value, "PATH": "/bin"})
    assert text in str(caught.value)


@pytest.mark.parametrize("bound", [-1, 4097, True, 64.5])
def test_bound_of_dependencies_out_of_range_is_refused_under_its_own_name(bound: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^dependencies_max"):
        Node("S1", dependencies_max=bound)
