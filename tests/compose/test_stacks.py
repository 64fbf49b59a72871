"""Each stack does what its page says, survives kills, and leaves nothing but its volumes."""

import json
import os
import re
import signal
import socket
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitoring.panels.health import MISSING, OR_NONE_MISSING
from tests.compose.conftest import COMPOSE, STACKS, Stack
from tests.harness import PROJECT, eventually, panel_queries, run
from tests.systems import System

JOBS = {"iris": "ml-api", "churn": "ml-api", "fraud": "ml-model-service", "heart": "heart-disease-api"}
STANDARD = ("process_", "fault_injection")


def boards(name: str) -> list[str]:
    """Return the dashboards that a stack gives to its Grafana, by their paths in the project."""
    folder = COMPOSE / name
    stack = yaml.safe_load((folder / "docker-compose.yml").read_text(encoding="utf-8"))
    mounted = [volume.partition(":")[0] for volume in stack["services"]["grafana"]["volumes"]]
    files = [(folder / source).resolve() for source in mounted if source.endswith(".json")]
    return [str(file.relative_to(PROJECT)) for file in files]


def send_samples(stack: Stack, served: System, times: int = 1) -> int:
    """Send the page's rows, and return how many were sent."""
    for _ in range(times):
        for row, label in served.answers:
            answer = requests.post(f"{stack.url}/predict", json=row, timeout=5)
            assert (answer.status_code, answer.json()["label"]) == (200, label)
    return times * len(served.answers)


def test_it_is_healthy_and_every_target_is_up(stack: Stack) -> None:
    states = {service: stack.container(service)["State"]["Health"]["Status"] for service in stack.services}
    assert set(states.values()) == {"healthy"}
    own = {JOBS[stack.name], "prometheus", "alertmanager"}
    eventually(
        lambda: {found["metric"]["job"] for found in stack.query("up == 1")} == own, "all targets are up", 60
    )
    assert len(stack.query(f'up{{job="{JOBS[stack.name]}"}}')) == 1


def test_its_samples_are_answered_and_its_metrics_are_exactly_the_pages(stack: Stack, served: System) -> None:
    send_samples(stack, served)
    families = text_string_to_metric_families(requests.get(f"{stack.url}/metrics", timeout=5).text)
    named = {family.name if family.type != "counter" else f"{family.name}_total" for family in families}
    assert {name for name in named if not name.startswith(STANDARD)} == set(served.page)


def test_prometheus_counts_what_was_sent(stack: Stack, served: System) -> None:
    counter = {"heart": "predictions_total", "fraud": "model_req_total"}.get(
        stack.name, "ml_predictions_total"
    )

    def counted() -> float:
        """Return what the API itself says."""
        families = text_string_to_metric_families(requests.get(f"{stack.url}/metrics", timeout=5).text)
        return sum(sample.value for family in families for sample in family.samples if sample.name == counter)

    before = counted()
    sent = send_samples(stack, served, times=20)
    assert counted() - before == sent
    eventually(lambda: stack.value(f"sum({counter})") == counted(), "Prometheus has seen it all", 60)


def test_every_panels_queries_return_data(stack: Stack, served: System) -> None:
    eventually(lambda: stack.query("feature_reference_rows"), "counters were seen before they rise", 30)
    requests.post(f"{stack.url}/predict", json={}, timeout=5)
    enough_for_drift = {"instances": [served.sample] * 400}
    requests.post(f"{stack.url}/predict/batch", json=enough_for_drift, timeout=5).raise_for_status()
    for name in boards(stack.name):
        if name.endswith("-versions.json"):  # has data while there is a candidate: test_rollout.py
            continue
        for title, expression in panel_queries(name):
            send_samples(stack, served)
            # rules over a day are recorded every two minutes: the cluster's test waits for them
            soon = re.sub(r"(job:feature:\w+)24h", r"\g<1>1h", expression)
            if any(feature.nullable for feature in served.declaration.features):
                soon = soon.removesuffix(OR_NONE_MISSING)
            elif MISSING in soon and "job:feature_values:share" in soon:
                continue  # no value can be missing: the panel has the 0 of the training data alone
            seconds = 150 if "budget_left" in soon else 90  # budgets are recorded every two minutes
            eventually(lambda soon=soon: stack.query(soon), f"{title}: {soon}", seconds)  # type: ignore[misc]


def test_every_rule_is_evaluated_without_error(stack: Stack) -> None:
    def groups() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{stack.prometheus}/api/v1/rules", timeout=5).json()[
            "data"
        ]["groups"]
        return found

    rules = [rule for group in groups() for rule in group["rules"]]
    assert len(rules) >= 3
    # rules over days are evaluated every two minutes: the cluster's test waits for them
    often = [group["name"] for group in groups() if group["interval"] < 60]
    assert {group["name"] for group in groups()} - set(often) <= {"drift-24h", "api-budgets"}

    def health(names: list[str]) -> set[str]:
        return {rule["health"] for group in groups() if group["name"] in names for rule in group["rules"]}

    eventually(lambda: health(often) == {"ok"}, "all are ok", 60)
    assert health([group["name"] for group in groups()]) <= {"ok", "unknown"}
    assert not [rule["name"] for rule in rules if rule["name"].startswith("Demo")]


def test_up_may_be_repeated_and_prints_the_addresses(stack: Stack) -> None:
    said = run(COMPOSE / "up.sh", stack.name, *stack.services, settings=stack.environment).stdout
    assert f"{stack.api_service}: {stack.url}\n" in said
    assert f"prometheus: {stack.prometheus}\n" in said


def test_it_is_hardened_and_bound_to_loopback(stack: Stack) -> None:
    for service in stack.services:
        container = stack.container(service)
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        assert container["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert container["Config"]["User"].partition(":")[0] not in {"", "0", "root"}
        for bindings in container["HostConfig"]["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


@pytest.mark.parametrize("killed", ["api", "prometheus", "alertmanager"])
def test_a_killed_service_recovers_and_the_rest_keeps_running(
    stack: Stack, served: System, killed: str
) -> None:
    service = stack.api_service if killed == "api" else killed
    started = {name: stack.container(name)["State"]["StartedAt"] for name in stack.services}
    oldest = "min_over_time(timestamp(up{job='prometheus'})[1h:5s])"
    eventually(lambda: stack.query(oldest), "there is some history", 30)
    before = stack.value(oldest)
    os.kill(stack.container(service)["State"]["Pid"], signal.SIGKILL)
    eventually(
        lambda: (
            stack.container(service)["State"]["StartedAt"] != started[service]
            and stack.container(service)["State"]["Health"]["Status"] == "healthy"
        ),
        f"{service} is back",
        60,
    )
    eventually(stack.answers, "the API answers")
    send_samples(stack, served)
    eventually(lambda: len(stack.query("up == 1")) == 3, "all targets are up again", 60)
    assert stack.value(oldest) == before
    after = {name: stack.container(name)["State"]["StartedAt"] for name in stack.services}
    assert {name for name in after if after[name] != started[name]} == {service}


def test_down_leaves_volumes_and_down_with_volumes_nothing(stack: Stack) -> None:
    stack.compose("down", "--timeout", "5")
    assert not stack.left("container")
    assert not stack.left("network")
    assert stack.left("volume")
    stack.compose("down", "--volumes")
    assert not stack.left("volume")


# ---- without starting anything ----


@pytest.mark.parametrize("name", STACKS)
def test_ports_and_names_are_those_of_the_page(name: str) -> None:
    said = run(
        "docker", "compose", f"--project-directory={COMPOSE / name}", "config", "--format", "json"
    ).stdout
    config = json.loads(said)
    published = {
        service: [int(port["published"]) for port in definition.get("ports", [])]
        for service, definition in config["services"].items()
    }
    api = {"churn": 5000}.get(name, 8000)
    assert config["name"] == name
    expected = {STACKS[name]: [api], "prometheus": [9090], "alertmanager": [9093], "grafana": [3000]}
    assert {service: published[service] for service in expected} == expected
    for service, definition in config["services"].items():
        assert not definition["image"].endswith(":latest") or service == STACKS[name]


@pytest.mark.parametrize("name", ["iris", "churn", "fraud"])
def test_the_rules_pass_their_tests(name: str) -> None:
    promtool = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        f"--volume={COMPOSE / name}:/rules:ro",
        "--user=65534",
    ]
    image = ["--entrypoint=/bin/promtool", "prom/prometheus:v3.15.0"]
    tests = (COMPOSE / name / "rules-tests.yml").read_text(encoding="utf-8")
    run(*promtool, *image, "test", "rules", "/rules/rules-tests.yml")
    for file in [*(COMPOSE / name).glob("rules/*.yml"), *(COMPOSE / name).glob("demo-rules/*.yml")]:
        for alert in re.findall(r"- alert: (\w+)", file.read_text(encoding="utf-8")):
            assert f"name: {alert} fires and resolves" in tests
            assert f"name: {alert} does not fire just below" in tests


def test_up_says_which_port_is_in_use_and_what_to_do() -> None:
    blocked = Stack("iris")
    with socket.create_server(("127.0.0.1", int(blocked.environment["PROMETHEUS_PORT"]))):
        result = run(COMPOSE / "up.sh", "iris", *blocked.services, check=False, settings=blocked.environment)
    assert result.returncode == 1
    port = blocked.environment["PROMETHEUS_PORT"]
    assert f"error: port {port} for prometheus is in use" in result.stderr
    assert "PROMETHEUS_PORT=..." in result.stderr
    assert not blocked.left("container")


def test_up_names_the_existing_stacks() -> None:
    result = run(COMPOSE / "up.sh", "rose", check=False)
    assert result.returncode == 1
    assert "there is no stack 'rose'; there is churn fraud heart iris" in result.stderr


@pytest.mark.skipif("GRAFANA_IMAGE" not in os.environ, reason="no Grafana image: set GRAFANA_IMAGE")
@pytest.mark.parametrize("name", STACKS)
def test_grafana_shows_the_dashboards(name: str) -> None:
    stack = Stack(name)
    stack.services.append("grafana")
    shared = yaml.safe_load((COMPOSE / "services.yml").read_text(encoding="utf-8"))["services"]
    run("docker", "tag", os.environ["GRAFANA_IMAGE"], shared["grafana"]["image"])
    stack.up()
    grafana = f"http://127.0.0.1:{stack.environment['GRAFANA_PORT']}"
    found = requests.get(f"{grafana}/api/search", auth=("admin", "admin"), timeout=5).json()
    titles = {json.loads((PROJECT / board).read_text(encoding="utf-8"))["title"] for board in boards(name)}
    stack.compose("down", "--volumes")
    assert titles <= {board["title"] for board in found}
