"""What one run of a variant, or of an algorithm, came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.clock_growth.frame_parts import PARTS
from benchmarks.clock_growth.measures import Distribution, Waiting
from benchmarks.clock_growth.state import WORD, Held


class Run:
    """Counted while the run is steady: bytes of each copy by part, waiting, control messages, state."""

    def __init__(self) -> None:
        self.parts = {name: Distribution() for name in PARTS}
        self.total = Distribution()
        self.dots = Distribution()
        """Dots that a stamp lists."""
        self.ideal = Distribution()
        """Of a sample: bytes of dependencies that a sender with perfect knowledge would write."""
        self.waiting = Waiting()
        self.controls = self.control_bytes = 0
        self.acknowledgements = self.acknowledgement_bytes = 0
        self.words = Distribution()
        self.python_bytes = Distribution()
        self.violations = 0
        self.shown: list[str] = []
        self.needless = 0

    def sent(self, parts: Sequence[int]) -> None:
        """A copy was put on the wire, its bytes by part."""
        for distribution, size in zip(self.parts.values(), parts, strict=True):
            distribution.note(size)
        self.total.note(sum(parts))

    def control(self, size: int) -> None:
        """A frame with no message in it and no settlement: a heartbeat, a question, an answer."""
        self.controls += 1
        self.control_bytes += size

    def acknowledgement(self, size: int) -> None:
        """A frame that reports settlements."""
        self.acknowledgements += 1
        self.acknowledgement_bytes += size

    def state(self, held: Held) -> None:
        """What one service holds."""
        self.words.note(held.words)
        self.python_bytes.note(held.python_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Bytes are of a copy on the wire, without its payload; control messages and their bytes are for each copy."""
        copies = max(1, len(self.total))
        state = self.words.to_dict()
        return {
            "copies": len(self.total),
            "bytes": {name: part.to_dict() for name, part in self.parts.items()} | {"total": self.total.to_dict()},
            "dots": self.dots.to_dict(),
            "ideal_dependencies": self.ideal.to_dict(),
            "drift": self.parts["ordering"].drift(),
            **self.waiting.to_dict(),
            "needless_share": self.needless / copies,
            "controls": self.controls / copies,
            "control_bytes": self.control_bytes / copies,
            "acknowledgements": self.acknowledgements / copies,
            "acknowledgement_bytes": self.acknowledgement_bytes / copies,
            "state_bytes": {name: WORD * value for name, value in state.items()},
            "python_bytes": self.python_bytes.to_dict(),
            "violations": self.violations,
        }
