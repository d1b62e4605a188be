"""What the methods of a node are given, checked where a wrong type would only fail far from the call."""

from __future__ import annotations

from collections.abc import Iterable

from causal.ordering.dot import Dot
from causal.wire.limits import NUMBER_END, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN


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


def dots_after(after: object) -> tuple[Dot, ...]:
    """The messages `after` which a send goes. Raises `TypeError` for anything but a collection of dots."""
    if isinstance(after, Iterable) and not isinstance(after, Dot | str | bytes):
        dots: tuple[object, ...] = tuple(after)
        wrong = [dot for dot in dots if not _is_dot(dot)]
        if not wrong:
            return dots  # type: ignore[return-value]  # each is a dot
        fix, wrong_one = _dot_fix(wrong[0], "after=[dot, …]"), wrong[0]
    else:
        fix, wrong_one = "leave it out to name none" if after is None else "after=[dot]", after
    raise TypeError(f"after= takes dots (what send returns, and Message.id), not {_shown(wrong_one)}: {fix}")


def _is_dot(dot: object) -> bool:
    """Whether this is a dot, and one of a name and numbers."""
    return isinstance(dot, Dot) and list(map(type, dot)) == [str, int, int]


def _dot_fix(dot: object, otherwise: str) -> str:
    if isinstance(dot, Dot):
        return "a dot is a name and two whole numbers, as Dot.parse('S1/1700000000000/4') reads them"
    return "Dot.parse(…) reads one from a text" if isinstance(dot, str) else otherwise


def check_dot(dot: object) -> None:
    """Raise `TypeError` for anything but a dot."""
    if _is_dot(dot):
        return
    fix = _dot_fix(dot, "settled(dot), or settled() for everything sent so far")
    if isinstance(dot, int | float):
        fix = f"settled(timeout={dot!r}) says how long to wait"
    elif isinstance(dot, str):
        fix += ", and settled() waits for everything sent so far"
    elif not isinstance(dot, Dot) and isinstance(dot, list | tuple | set | frozenset):
        fix = "settled(*dots) takes those of a collection"
    raise TypeError(f"settled() takes dots as send() returns them, not {_shown(dot)}: {fix}")


def check_bytes(max_bytes: object) -> None:
    """Raise `TypeError` or `ValueError` for anything but a length that a token may have."""
    if not isinstance(max_bytes, int) or isinstance(max_bytes, bool):
        raise TypeError(f"max_bytes is a whole number of bytes, not {_shown(max_bytes)}")
    if not TOKEN_BYTES_MIN <= max_bytes <= TOKEN_BYTES_MAX:
        raise ValueError(
            f"max_bytes={max_bytes} must be from {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX}: what a token takes"
        )


def check_incarnation(incarnation: object) -> int:
    """The incarnation itself. Raises `ValueError` for anything but a number that one can have."""
    if not isinstance(incarnation, int) or isinstance(incarnation, bool) or not 0 <= incarnation < NUMBER_END:
        raise ValueError(f"incarnation={incarnation!r} must be a whole number of milliseconds, as status() shows it")
    return incarnation


def check_timeout(timeout: object) -> None:
    """Raise `TypeError` for anything but seconds or None."""
    if timeout is not None and not isinstance(timeout, int | float):
        raise TypeError(f"timeout is a number of seconds, or None to wait for as long as it takes, not {timeout!r}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"the {type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"
