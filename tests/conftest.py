import os
from pathlib import Path

import pytest

from bundle.declaration import Declaration, load_declaration
from tests.harness import HEART

ALLOWED_SKIPS = (Path(__file__).parent / "allowed_skips.txt").read_text(encoding="utf-8").splitlines()

skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        skipped.append(f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure unless its reason is on the written list."""
    unlisted = [skip for skip in skipped if not any(reason and reason in skip for reason in ALLOWED_SKIPS)]
    if os.environ.get("CI") == "true" and unlisted:
        print("\nskipped, and not listed in tests/allowed_skips.txt:", *unlisted, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def declaration() -> Declaration:
    return load_declaration(HEART)
