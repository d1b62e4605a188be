"""What a node may be called, and what subjects and patterns look like.

Names and subjects travel on wires, in traces, file names and log lines, so what cannot be carried exactly
through all of them is refused where it enters; nothing is ever cut, folded or normalised. Two names are the
same if their code points are the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

from causal.errors import InvalidNameError, SubjectError

NAME_BYTES_MAX = 128
"""The longest node name, in bytes of UTF-8."""

SUBJECT_BYTES_MAX = 256
"""The longest subject or pattern, in bytes of UTF-8."""

_SHOWN_MAX = 48
"""Characters of a refused value that an error quotes: a hostile one must not fill the log."""

# White space, control characters, invisible format characters (two names that look alike would differ) and
# lone surrogates (they have no UTF-8). Written out: classes such as \s change with the Unicode version, and
# both ends of a link must agree.
_UNCARRIABLE = (
    "\\x00-\\x20\\x7f-\\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff\\ufff9-\\ufffb"
    "\\ud800-\\udfff"
)
_NOT_IN_NAME = re.compile(f"[/{_UNCARRIABLE}]")
_NOT_IN_SUBJECT = re.compile(f"[*>{_UNCARRIABLE}]")
_NOT_IN_PATTERN = re.compile(f"[{_UNCARRIABLE}]")


def validate_name(name: object) -> str:
    """The node name itself, if it is one; `InvalidNameError` with the fix in its text otherwise.

    A name is 1 to 128 bytes of UTF-8 without `/` (it separates the parts of a dot), white space, control and
    invisible characters.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"a node name is a str, not {type(name).__name__}")
    if not name:
        raise InvalidNameError("a node name must not be empty: give the service a name such as 'orders'")
    if found := _NOT_IN_NAME.search(name):
        raise InvalidNameError(
            f"the node name {_shown(name)} has {found.group()!r} at position {found.start()}: "
            "use characters other than '/', white space, control and invisible ones"
        )
    if (size := len(name.encode())) > NAME_BYTES_MAX:
        raise InvalidNameError(f"the node name {_shown(name)} has {size} bytes of UTF-8: use at most {NAME_BYTES_MAX}")
    return name


def validate_subject(subject: object) -> str:
    """The subject itself, if a message can be sent under it; `SubjectError` with the fix otherwise.

    A subject is 1 to 256 bytes of UTF-8: tokens joined by dots, none empty, without `*` and `>` (they belong
    to patterns), white space, control and invisible characters.
    """
    if not isinstance(subject, str):
        raise SubjectError(f"a subject is a str such as 'order.paid', not {type(subject).__name__}")
    _check_subject(subject)
    return subject


@lru_cache(maxsize=4096)
def _check_subject(subject: str) -> None:
    """Remembered, since every message names one, and most name the same few."""
    _dotted(subject, "subject", _NOT_IN_SUBJECT, "'*', '>' (only patterns have them), ")


def validate_pattern(pattern: object) -> str:
    """The pattern itself, if a handler can be registered for it; `SubjectError` with the fix otherwise.

    A pattern is a subject in which a token may be `*` (any one token) and the last one `>` (one or more
    tokens: all the rest).
    """
    text = _dotted(pattern, "pattern", _NOT_IN_PATTERN, "")
    tokens = text.split(".")
    for place, token in enumerate(tokens):
        if token == ">" and place < len(tokens) - 1:
            raise SubjectError(f"the pattern {_shown(text)} goes on after '>': put '>', all the rest, last")
        if len(token) > 1 and ("*" in token or ">" in token):
            raise SubjectError(
                f"the pattern {_shown(text)} has the token {_shown(token)}: '*' and '>' stand for whole "
                "tokens, as in 'order.*' or 'order.>'"
            )
    return text


def _dotted(value: object, kind: str, forbidden: re.Pattern[str], also: str) -> str:
    if not isinstance(value, str):
        raise SubjectError(f"a {kind} is a str such as 'order.paid', not {type(value).__name__}")
    if not value:
        raise SubjectError(f"a {kind} must not be empty: use dotted tokens such as 'order.paid'")
    if found := forbidden.search(value):
        raise SubjectError(
            f"the {kind} {_shown(value)} has {found.group()!r} at position {found.start()}: "
            f"use characters other than {also}white space, control and invisible ones"
        )
    if (size := len(value.encode())) > SUBJECT_BYTES_MAX:
        raise SubjectError(f"the {kind} {_shown(value)} has {size} bytes of UTF-8: use at most {SUBJECT_BYTES_MAX}")
    if value[0] == "." or value[-1] == "." or ".." in value:
        raise SubjectError(f"the {kind} {_shown(value)} has an empty token: put one dot between tokens only")
    return value


def _shown(value: str) -> str:
    """The value as an error quotes it: escaped, so that it can forge no log line, and never long."""
    return ascii(value if len(value) <= _SHOWN_MAX else value[:_SHOWN_MAX] + "…")
