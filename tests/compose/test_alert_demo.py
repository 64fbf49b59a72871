"""The alert lab, end to end: each alert pends, fires and resolves, in Prometheus and in Alertmanager."""

import re

from tests.compose.conftest import Stack
from tests.harness import PROJECT, run


def test_the_alert_lab_goes_through_its_steps() -> None:
    stack = Stack("churn")
    try:
        said = run(
            PROJECT / "scripts" / "alert-demo.sh", "--without-grafana", "--down", settings=stack.environment
        ).stdout
        assert not stack.left("container")
    finally:
        stack.compose("down", "--volumes", "--timeout", "5")
    steps = re.findall(r"^ +\d+ s  (\w+) +(.*)$", said, flags=re.MULTILINE)
    for alert in ("DemoHighErrorCount", "DemoHighRequestRate", "APIDown"):
        states = [state for name, state in steps if name == alert]
        order = ["firing", "firing in Alertmanager", "inactive", "inactive in Alertmanager"]
        tail = states[states.index("firing") :]
        assert [state for state in tail if state in order][:2] == order[:2]
        assert states[-1] == "inactive in Alertmanager"
    assert "everything resolves" in said
