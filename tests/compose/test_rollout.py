"""A version's way on the churn stack: shown what the served one answers, tried on a share, promoted, back."""

from collections.abc import Iterator

import pytest
import requests

from tests.compose.conftest import Stack
from tests.harness import eventually, panel_queries
from tests.systems import System

ROW = System("churn").sample


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack("churn")
    stack.environment |= {"MODEL_VERSION": "v1", "CANDIDATE_VERSION": "v2"}
    stack.up()
    yield stack
    stack.compose("down", "--volumes", "--timeout", "5")


def step(stack: Stack, **settings: str) -> None:
    """Do what docs/rollout.md says."""
    stack.compose("up", "--detach", "--wait", "app", settings=settings)
    eventually(stack.answers, "the new container answers", 60)


def speakers(stack: Stack) -> dict[str, str]:
    found = {}
    for key in (f"customer-{number}" for number in range(60)):
        answer = requests.post(f"{stack.url}/predict", json=ROW, headers={"X-Request-Key": key}, timeout=5)
        found[key] = answer.json()["model"]["version"]
    return found


def test_shadow_canary_promote_and_roll_back(stack: Stack) -> None:
    step(stack, SHADOW="true", CANARY_PERCENT="50")
    half = speakers(stack)
    assert set(half.values()) == {"v1", "v2"}

    def shown(expression: str) -> bool:
        speakers(stack)
        return bool(stack.query(expression))

    eventually(lambda: shown('shadow_rows_total{outcome="agreed"} > 0'), "the candidate answers unseen", 60)
    for title, expression in panel_queries("monitoring/grafana-versions.json"):
        if title.endswith(": Quality"):  # the stack takes no outcomes: the cluster's test reports some
            continue
        eventually(lambda expression=expression: shown(expression), f"{title}: {expression}", 90)  # type: ignore[misc]
    step(stack, CANARY_PERCENT="100")
    assert set(speakers(stack).values()) == {"v2"}
    step(stack, MODEL_VERSION="v2")
    assert set(speakers(stack).values()) == {"v2"}
    step(stack)
    assert set(speakers(stack).values()) == {"v1"}
