"""Which handler a subject belongs to."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from causal.errors import ConfigurationError, HandlerError
from causal.node.message import Message
from causal.ordering.names import validate_pattern
from causal.ordering.verdict import Ordering

Handler = Callable[[Message], Awaitable[object]]
"""Takes a message; must return None in this version (replies come later)."""

_REMEMBERED_MAX = 4096
"""Subjects whose handler is remembered; past that all are forgotten and found again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What happens to a message whose handler raises: it is run again after a pause, for ever.

    Its successors wait meanwhile; `Node.status()["retrying"]` shows it. The pause doubles from `retry_first`
    to `retry_max` (seconds), each with a random part of up to half.
    """

    retry_first: float = 0.05
    retry_max: float = 5.0

    def __post_init__(self) -> None:
        for name, seconds in (("retry_first", self.retry_first), ("retry_max", self.retry_max)):
            if not isinstance(seconds, int | float):
                raise ConfigurationError(f"{name}={seconds!r} must be a number of seconds")
        if not 0 < self.retry_first <= self.retry_max:
            raise ConfigurationError(
                f"retry_first={self.retry_first} must be above 0 and at most retry_max={self.retry_max} (seconds)"
            )


@dataclass(frozen=True, slots=True)
class Subscription:
    """A handler and how its messages are ordered and retried."""

    pattern: str
    handler: Handler
    ordering: Ordering
    policy: Policy
    tokens: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.pattern.split(".")))

    def matches(self, subject: list[str]) -> bool:
        """Whether the pattern covers a subject: `*` is any one token, `>` one or more at the end."""
        for index, token in enumerate(self.tokens):
            if token == ">":
                return len(subject) > index
            if index >= len(subject) or token not in ("*", subject[index]):
                return False
        return len(subject) == len(self.tokens)

    @property
    def specificity(self) -> tuple[int, ...]:
        """Sorts the most specific first: from the left, a literal before `*` before `>`."""
        return tuple({"*": 1, ">": 2}.get(token, 0) for token in self.tokens)


class Handlers:
    """The subscriptions of a node. The most specific pattern takes a message; no two are equal."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, Subscription] = {}
        self._remembered: dict[str, Subscription | None] = {}
        self.closed = False
        """No more registrations: a subject's ordering must not change while messages are held."""

    def add(self, pattern: str, handler: Handler, ordering: str, policy: Policy | None) -> None:
        """Register a handler. Raises `HandlerError`, `SubjectError` or `ConfigurationError`."""
        validate_pattern(pattern)
        if self.closed:
            raise HandlerError(f"handler for {pattern!r}: register all handlers before the node is entered")
        if not inspect.iscoroutinefunction(inspect.unwrap(handler)) and not inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004  # an object with an async __call__
        ):
            raise HandlerError(f"handler for {pattern!r} must be an async function: async def …(message)")
        if pattern in self._subscriptions:
            other = self._subscriptions[pattern].handler
            raise HandlerError(f"{pattern!r} already has the handler {getattr(other, '__qualname__', other)}")
        try:
            chosen = Ordering(ordering)
        except ValueError:
            known = ", ".join(repr(str(o)) for o in Ordering)
            raise ConfigurationError(f"ordering={ordering!r} is not known; this version has {known}") from None
        if policy is not None and not isinstance(policy, Policy):
            raise ConfigurationError(f"policy={policy!r} must be a Policy, such as Policy(retry_max=1.0)")
        self._subscriptions[pattern] = Subscription(pattern, handler, chosen, policy or Policy())
        self._remembered.clear()

    def find(self, subject: str) -> Subscription | None:
        """The subscription that a subject belongs to, None if there is none."""
        if subject in self._remembered:
            return self._remembered[subject]
        tokens = subject.split(".")
        found = [s for s in self._subscriptions.values() if s.matches(tokens)]
        best = min(found, key=lambda s: s.specificity, default=None)
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[subject] = best
        return best

    def ordering_of(self, subject: str) -> Ordering:
        """How a subject is ordered here; one without a handler goes to the dead letters in order."""
        subscription = self.find(subject)
        return Ordering.CAUSAL if subscription is None else subscription.ordering
