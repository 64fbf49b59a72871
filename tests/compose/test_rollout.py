"""A version's rollout on the churn stack: shadow, canary, promotion and rollback."""

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
    """Do a step of docs/rollout.md."""
    stack.compose("up", "--detach", "--wait", "app", settings=settings)
    eventually(stack.answers, "the new container answers", 60)


def answering_versions(stack: Stack) -> dict[str, str]:
    found = {}
    for key in (f"customer-{number}" for number in range(60)):
        answer = requests.post(f"{stack.url}/predict", json=ROW, headers={"X-Request-Key": key}, timeout=5)
        found[key] = answer.json()["model"]["version"]
    return found


def test_shadow_canary_promote_and_roll_back(stack: Stack) -> None:
    step(stack, SHADOW="true", CANARY_PERCENT="50")
    half = answering_versions(stack)
    assert set(half.values()) == {"v1", "v2"}

    def shown(expression: str) -> bool:
        answering_versions(stack)
        return bool(stack.query(expression))

    eventually(
        lambda: shown('shadow_rows_total{outcome="agreed"} > 0'), "the candidate answers in the shadow", 60
    )
    for title, expression in panel_queries("monitoring/grafana-versions.json"):
        if title.endswith(": Quality"):  # the stack takes no outcomes: the cluster's test reports some
            continue
        eventually(lambda expression=expression: shown(expression), f"{title}: {expression}", 90)  # type: ignore[misc]
    step(stack, CANARY_PERCENT="100")
    assert set(answering_versions(stack).values()) == {"v2"}
    step(stack, MODEL_VERSION="v2")
    assert set(answering_versions(stack).values()) == {"v2"}
    step(stack)
    assert set(answering_versions(stack).values()) == {"v1"}
