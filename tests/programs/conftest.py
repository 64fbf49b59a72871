"""Real programs without a cluster: Prometheus, promtool, helm, kube-score and PostgreSQL."""

import os

import pytest

from tools.cluster.places import CACHE

PROGRAMS = CACHE / "bin"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Use the programs that `make test-programs` has built."""
    assert (PROGRAMS / "promtool").exists(), "the programs are missing: use `make test-programs`"
    os.environ["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"
