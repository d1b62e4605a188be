"""Names, subjects and patterns: carried exactly or refused, never cut (F4, G14)."""

from __future__ import annotations

import pytest

from causal.errors import InvalidNameError, SubjectError
from causal.ordering.names import (
    NAME_BYTES_MAX,
    SUBJECT_BYTES_MAX,
    validate_name,
    validate_pattern,
    validate_subject,
)

UNCARRIABLE = [
    "a b", " a", "a ", "a\tb", "a\nb", "a\r", "a\0", "a\x1b[31m", "a\x7f", "a\x85", "a\xa0b", "a\u2028b",
    "a\u3000b", "a\u200bb", "a\u202eb", "\ufeffa", "a\ud800",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "S1",
        "a",
        "orders-2",
        "x" * NAME_BYTES_MAX,
        "é" * (NAME_BYTES_MAX // 2),
        "日本",
        "a.b",
        "*",
        ">",
        "%2F",
        "😀",
    ],
)
def test_name_of_odd_but_carriable_characters_is_kept_exactly(name: str) -> None:
    assert validate_name(name) is name


@pytest.mark.parametrize("name", ["", "/", "a/b", *UNCARRIABLE, "x" * (NAME_BYTES_MAX + 1), "é" * 65])
def test_f4_name_empty_long_or_with_slash_or_newline_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError) as refused:
        validate_name(name)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("value", [None, 1, b"S1", True])
def test_value_that_is_no_text_is_refused_as_name_subject_and_pattern(value: object) -> None:
    with pytest.raises(InvalidNameError, match="is a str, not"):
        validate_name(value)
    with pytest.raises(SubjectError, match="a subject is a str such as"):
        validate_subject(value)
    with pytest.raises(SubjectError, match="a pattern is a str such as"):
        validate_pattern(value)


@pytest.mark.parametrize("subject", ["a", "order.paid", "a.b.c.d", "order/é.日本", "x" * SUBJECT_BYTES_MAX])
def test_subject_of_dotted_tokens_is_kept_exactly_and_is_a_pattern(subject: str) -> None:
    assert validate_subject(subject) is subject
    assert validate_pattern(subject) is subject


@pytest.mark.parametrize("value", ["", ".", ".a", "a.", "a..b", *UNCARRIABLE, "x" * (SUBJECT_BYTES_MAX + 1), "é" * 129])
def test_f4_subject_empty_long_or_with_an_empty_token_is_refused_as_subject_and_pattern(value: str) -> None:
    for validate in (validate_subject, validate_pattern):
        with pytest.raises(SubjectError) as refused:
            validate(value)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400


@pytest.mark.parametrize("subject", ["*", ">", "order.*", "order.>", "or*der", "a>"])
def test_g14_subject_with_pattern_characters_is_refused(subject: str) -> None:
    with pytest.raises(SubjectError, match="only patterns have them"):
        validate_subject(subject)


@pytest.mark.parametrize("pattern", ["*", ">", "order.*", "*.paid", "*.*", "order.>", "*.>", "a.*.c"])
def test_pattern_of_whole_token_wildcards_is_kept_exactly(pattern: str) -> None:
    assert validate_pattern(pattern) is pattern


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        (">.a", "last"),
        ("a.>.b", "last"),
        (">.>", "last"),
        ("or*", "whole tokens"),
        ("order.pa*d", "whole tokens"),
        ("order.a>", "whole tokens"),
        ("**", "whole tokens"),
        (">>", "whole tokens"),
    ],
)
def test_pattern_with_a_misplaced_wildcard_is_refused_with_the_fix(pattern: str, fix: str) -> None:
    with pytest.raises(SubjectError, match=fix):
        validate_pattern(pattern)
