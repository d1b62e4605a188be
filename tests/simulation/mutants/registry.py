"""How a mutant is registered, and what is off while one is in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

from causal.ordering import engine as engine_module
from causal.ordering import tokens

Mutant = Callable[[], AbstractContextManager[None]]
MUTANTS: dict[str, Mutant] = {}


def mutant(apply: Callable[[], Iterator[None]]) -> Mutant:
    """Register a mutant under the name of its function; with it, refusals of frames are off."""

    @contextmanager
    def mutated() -> Iterator[None]:
        with (
            patch.object(engine_module, "validate", lambda *_: None),
            patch.object(engine_module, "validate_credit", lambda link, *_: link.bytes_most),
            patch.object(tokens, "_validate", lambda *_: None),
            contextmanager(apply)(),
        ):
            yield

    MUTANTS[apply.__name__] = mutated
    return mutated
