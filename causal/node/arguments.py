"""What the methods of a node are given, checked where a wrong type would only fail far from the call."""

from __future__ import annotations

from collections.abc import Iterable

from causal.ordering.dot import Dot


def several(to: object) -> tuple[str, ...]:
    """The names of a send to several nodes. Raises `TypeError` for anything but a collection of texts."""
    names: tuple[object, ...] = tuple(to) if isinstance(to, Iterable) and not isinstance(to, bytes) else (to,)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"send() takes the name of a node or several names, not {_shown(name)}: "
                "send('S2', …) or send(['S2', 'S3'], …)"
            )
    return names  # type: ignore[return-value]  # each is a str


def check_dot(dot: object) -> None:
    """Raise `TypeError` for anything but a dot."""
    if isinstance(dot, Dot):
        return
    fix = "settled(dot), or settled() for everything sent so far"
    if isinstance(dot, int | float):
        fix = f"settled(timeout={dot!r}) says how long to wait"
    elif isinstance(dot, str):
        fix = "Dot.parse(…) reads one from a text, and settled() waits for everything sent so far"
    elif isinstance(dot, list | tuple | set | frozenset):
        fix = "settled(*dots) takes those of a collection"
    raise TypeError(f"settled() takes dots as send() returns them, not {_shown(dot)}: {fix}")


def check_timeout(timeout: object) -> None:
    """Raise `TypeError` for anything but seconds or None."""
    if timeout is not None and not isinstance(timeout, int | float):
        raise TypeError(f"timeout is a number of seconds, or None to wait for as long as it takes, not {timeout!r}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"the {type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"
