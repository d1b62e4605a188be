"""The running node: engine, transport, trace and handlers in one event loop."""

from causal.node.handlers import Policy
from causal.node.message import Message
from causal.node.node import Node

__all__ = ["Message", "Node", "Policy"]
