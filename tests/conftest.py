"""What holds for every test: the same examples in every run, and none left out."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

# The suite says the same thing each time it runs: no random seed, no database of earlier failures, and no
# deadline that a busy machine would miss. Few examples, since the core suite has to be quick: the simulation takes the
# same properties through many (`tests/simulation/test_properties.py`), `--hypothesis-profile=explore` through more.
settings.register_profile("repeatable", max_examples=20, derandomize=True, database=None, deadline=None)
settings.register_profile("thorough", max_examples=200, derandomize=True, database=None, deadline=None)
settings.register_profile("explore", max_examples=5_000, database=None, deadline=None)
settings.load_profile("repeatable")


class _Skips:
    """A skipped test proves nothing: it makes the run fail, and the run's summary (-ra) names it."""

    def __init__(self) -> None:
        self.seen = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seen += report.skipped and not hasattr(report, "wasxfail")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.seen and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Skips(), "no-skips")
    gc.disable()  # until all tests are collected: what that makes is there to stay


def pytest_collection_finish() -> None:
    # Modules and tests are looked at no more by the garbage collector: a tenth of the suite's time went into that.
    gc.freeze()
    gc.enable()
