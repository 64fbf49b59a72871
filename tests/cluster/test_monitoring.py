"""Prometheus and Alertmanager beside the API, as deploy-monitoring.sh installs them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client

from monitoring.dashboards.__main__ import HEART
from monitoring.panels.health import OR_NONE_MISSING
from tests.cluster.conftest import (
    NAMESPACE,
    NODES,
    RELEASE,
    URL,
    answers,
    bearer,
    helm_install,
    kubectl,
    ready_pods,
    replaced,
)
from tests.cluster.receivers import HTTP_PORT, SMTP_PORT
from tests.harness import PROJECT, SAMPLE, Load, copy_project, eventually, panel_queries, run
from tests.postgresql import Postgresql
from tests.systems import System

MONITORING = PROJECT / "monitoring"
NODE = NODES["heart-node1"]
PROMETHEUS = f"http://{NODE}:30090"
ALERTMANAGER = f"http://{NODE}:30093"
SCRAPE_SECONDS = 10
KEYS, TOKEN = f"{RELEASE}-feedback-keys", f"{RELEASE}-feedback-token"
PART_OF = "app.kubernetes.io/part-of=heart-disease-monitoring"


def deploy(folder: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the folder's script, without Grafana, whose image is not available here."""
    return run(folder / "deploy-monitoring.sh", "--without-grafana", "--expose-alertmanager", check=check)


def follow(folder: Path, line: str) -> str:
    """Run a line of a document in the copy of the project."""
    return run("sh", "-c", f"cd {folder.parent} && {line}").stdout


def query(expression: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{PROMETHEUS}/api/v1/query", params={"query": expression}, timeout=5).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def scraped(core: client.CoreV1Api) -> bool:
    """Return whether Prometheus scrapes every pod of the API, each once and on its node, and no other."""
    seen = [
        (series["metric"]["pod"], series["metric"]["node"])
        for series in query(f'up{{app="heart-disease-api", job="{RELEASE}"}} == 1')
    ]
    return sorted(seen) == sorted((pod.metadata.name, pod.spec.node_name) for pod in ready_pods(core))


def diagnose(alert: str) -> str:
    """Do what an alert's page says under Diagnosis, as it stands, and return what the commands print."""
    page = (MONITORING / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    part = page.partition("## Diagnosis")[2].partition("## Mitigation")[0]
    for expression in re.findall(r"```promql\n(.*?)```", part, flags=re.DOTALL):
        query(expression)
    said = ""
    for block in re.findall(r"```sh\n(.*?)```", part, flags=re.DOTALL):
        done = run("sh", "-c", block, check=False)  # what is broken may have nothing to say
        assert not re.search("unknown|not found$|Usage", done.stderr), done.stderr
        said += done.stdout
    return said


def both_answer() -> bool:
    """Return whether both servers answer; a node's port opens a moment after its pod is ready."""
    try:
        return all(requests.get(f"{url}/-/ready", timeout=3).ok for url in (PROMETHEUS, ALERTMANAGER))
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An SMTP and a web server on the first node, and the file of what they got."""
    got = tmp_path_factory.mktemp("receivers") / "notifications"
    got.touch()
    command = ["nsenter", "--net=/run/netns/heart-node1", sys.executable, "-m", "tests.cluster.receivers"]
    process = subprocess.Popen([*command, NODE, str(got)], cwd=PROJECT)
    yield got
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """monitoring/ in a copy of the project, where email goes to our server, which has no certificate."""
    copy = copy_project(tmp_path_factory.mktemp("copy")) / "monitoring"
    config = copy / "alertmanager-config.yaml"
    ours = f"smarthost: {NODE}:{SMTP_PORT}\n        require_tls: false"
    text = config.read_text(encoding="utf-8").replace("smarthost: smtp.example.org:587", ours)
    config.write_text(text, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Postgresql]:
    """A PostgreSQL on a node; the release stores outcomes there until a test installs it otherwise."""
    with Postgresql(NODE, "heart-node1") as database:
        kubectl("create", "namespace", NAMESPACE, check=False)
        secret = ["secret", "generic", "outcomes", f"--from-literal=url={database.url}"]
        kubectl("create", "--namespace", NAMESPACE, *secret)
        yield database
        kubectl("delete", "secret", "outcomes", KEYS, TOKEN, "--namespace", NAMESPACE)


def feedback(database: Postgresql) -> str:
    """Return values of a release that stores outcomes there."""
    port = database.port
    return f"feedback.enabled=true,feedback.databaseSecret=outcomes,feedback.databasePort={port}"


@pytest.fixture(scope="module")
def monitoring(receivers: Path, folder: Path, core: client.CoreV1Api, outcomes: Postgresql) -> Iterator[None]:
    helm_install("--set", feedback(outcomes))
    web = f"http://{NODE}:{HTTP_PORT}"
    secrets = [f"--from-literal=slack-url={web}/slack", f"--from-literal=webhook-url={web}/webhook"]
    secrets.append("--from-literal=smtp-password=unused")
    kubectl("delete", "secret", "alertmanager-receivers", "--namespace", NAMESPACE, "--ignore-not-found")
    kubectl("create", "secret", "generic", "alertmanager-receivers", "--namespace", NAMESPACE, *secrets)
    deploy(folder)
    eventually(both_answer, "Prometheus and Alertmanager answer", 30)
    eventually(lambda: scraped(core), "both pods are scraped", 60)
    yield
    run(MONITORING / "cleanup-monitoring.sh", "--purge")
    kubectl("delete", "secret", "alertmanager-receivers", "--namespace", NAMESPACE)


pytestmark = pytest.mark.usefixtures("monitoring")


def notifications(receivers: Path) -> list[tuple[str, str, str]]:
    """Return way, alert and status of each notification."""
    found = []
    whole = receivers.read_text(encoding="utf-8").rpartition("\n")[0]  # the last line may be half written
    for line in whole.splitlines():
        got = json.loads(line)
        content = got["content"]
        if got["way"] == "webhook":
            found += [
                ("webhook", alert["labels"]["alertname"], alert["status"]) for alert in content["alerts"]
            ]
        elif got["way"] == "slack":
            status, _, alert = content["attachments"][0]["title"].partition(": ")
            found.append(("slack", alert, status.lower()))
        else:
            match = re.match(r"\[(\w+)(?::\d+)?\] (\w+)", content["subject"])
            assert match, content
            found.append(("email", match[2], match[1].lower()))
    return found


def notified(receivers: Path, alert: str, status: str, ways: set[str]) -> bool:
    return ways <= {way for way, name, state in notifications(receivers) if (name, state) == (alert, status)}


ALL_WAYS = {"webhook", "slack", "email"}


def test_a_shift_of_age_is_notified_by_name(receivers: Path) -> None:
    """The first test: nothing else was predicted since Prometheus started."""
    said = run(MONITORING / "test-metrics.sh", "--requests", "500", "--shift", "age").stdout
    assert "counters: 500 with status 200, as sent" in said
    for alert, severity in (("FeatureDrift", "warning"), ("FeatureDriftStrong", "critical")):
        firing = f'ALERTS{{alertname="{alert}", severity="{severity}", alertstate="firing"}}'
        found = eventually(lambda firing=firing: query(firing), f"{alert} fires", 120)  # type: ignore[misc]
        assert {(series["metric"]["feature"], series["metric"]["model"]) for series in found} == {
            ("age", "heart-disease")
        }
    eventually(
        lambda: notified(receivers, "FeatureDriftStrong", "firing", ALL_WAYS), "the drift is notified", 60
    )


def report_outcomes(outcome: int, number: int) -> list[int]:
    """Predict, report an outcome for each prediction, and return the statuses."""
    statuses, token = [], bearer()
    for _ in range(number):
        answer = requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).json()
        body = {"prediction_id": answer["prediction_id"], "outcome": outcome}
        statuses.append(requests.post(f"{URL}/feedback", json=body, headers=token, timeout=10).status_code)
    return statuses


def test_outcomes_move_the_metrics_of_the_quality_dashboard(
    receivers: Path, outcomes: Postgresql, core: client.CoreV1Api
) -> None:
    accuracy = 'max(model_quality{metric="accuracy"})'
    # the rows of the shift have no outcomes, whatever was predicted: beside them these are no fair sample
    outcomes.ask("DELETE FROM prediction_counts")
    assert report_outcomes(0, 60) == [202] * 60
    assert report_outcomes(1, 1) == [202]  # a positive outcome, for sensitivity
    eventually(lambda: query(f"{accuracy} > {60 / 61 - 1e-9}"), "the first outcomes are shown", 60)
    eventually(lambda: query("count(model_outcomes) == 8"), "by both pods", 60)
    for title, expression in panel_queries("monitoring/grafana-quality.json"):
        if "model_quality_earlier" in expression:
            continue  # there are no outcomes before the window
        eventually(lambda expression=expression: query(expression), title, 60)  # type: ignore[misc]
    assert report_outcomes(1, 120) == [202] * 120
    eventually(lambda: query(f"{accuracy} < {60 / 181 + 1e-9}"), "the others are shown", 60)
    alert = "ModelQualityBelowCard"
    eventually(lambda: notified(receivers, alert, "firing", ALL_WAYS), "the decline is notified", 300)
    firing = query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
    assert "accuracy" in {series["metric"]["metric"] for series in firing}
    assert outcomes.ask("SELECT count(*) FROM outcomes") == "181"

    before = requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).json()["prediction_id"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    patch = json.dumps({"stringData": {str(tomorrow): token_hex(32)}})
    kubectl("patch", "secret", KEYS, "--namespace", NAMESPACE, "--patch", patch)
    helm_install("--set", f"{feedback(outcomes)},feedback.days=30")
    replaced(core)
    keys = json.loads(kubectl("get", "secret", KEYS, "--namespace", NAMESPACE, "--output", "json"))["data"]
    assert len(keys) == 2
    body, token = {"prediction_id": before, "outcome": 0}, bearer()
    assert requests.post(f"{URL}/feedback", json=body, headers=token, timeout=10).status_code == 202
    outcomes.kill()
    away = requests.post(f"{URL}/feedback", json=body, headers=token, timeout=15)
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).status_code == 200
    outcomes.start()

    def known() -> bool:
        return requests.post(f"{URL}/feedback", json=body, headers=token, timeout=15).status_code == 200

    eventually(known, "the outcome is known", 60)


@pytest.fixture
def faulty(core: client.CoreV1Api) -> Iterator[None]:
    """A release whose requests fail for a third, and whose model fails while a file exists."""
    faults = [
        {"name": "FAULT_ERROR_RATE", "value": "0.3"},
        {"name": "FAULT_ENGINE_FILE", "value": "/tmp/broken"},  # noqa: S108  # in the pod
        {"name": "PROBE_SECONDS", "value": "2"},
    ]
    values = {"server": {"environment": "staging"}, "faults": {"allowed": True}, "extraEnv": faults}
    file = PROJECT / ".cluster" / "faulty.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    helm_install("--values", str(file))
    eventually(lambda: scraped(core), "the new pods are scraped", 60)
    yield
    helm_install()
    eventually(answers, "the API answers", 60)


def test_errors_and_an_unavailable_model_are_notified(
    receivers: Path, faulty: None, core: client.CoreV1Api
) -> None:
    for _ in range(300):  # enough of the hour's requests for a burn
        requests.post(f"{URL}/predict", json=SAMPLE, timeout=5)
    burn = "PredictionErrorsFastBurn"
    eventually(lambda: notified(receivers, burn, "firing", ALL_WAYS), "the burst is notified", 120)
    broken = ready_pods(core)[0].metadata.name
    kubectl("exec", "--namespace", NAMESPACE, broken, "--", "touch", "/tmp/broken")  # noqa: S108
    eventually(
        lambda: notified(receivers, "ModelNotLoaded", "firing", ALL_WAYS),
        "the failing model is notified",
        120,
    )
    assert re.search(rf"{broken}.*model unavailable", diagnose("ModelNotLoaded"))
    assert '"error":"InternalError"' in diagnose("ApiErrorBurst")
    assert '"status":500' in diagnose("PredictionErrorsFastBurn")
    kubectl("exec", "--namespace", NAMESPACE, broken, "--", "rm", "/tmp/broken")  # noqa: S108
    eventually(
        lambda: notified(receivers, "ModelNotLoaded", "resolved", ALL_WAYS), "its recovery is notified", 180
    )
    assert not [notification for notification in notifications(receivers) if notification[1] == "Watchdog"]


def test_an_alert_links_to_its_runbook_beside_a_port_forward() -> None:
    alerts = requests.get(f"{ALERTMANAGER}/api/v2/alerts", timeout=5).json()
    (watchdog,) = [alert for alert in alerts if alert["labels"]["alertname"] == "Watchdog"]
    assert watchdog["annotations"]["runbook_url"] == "http://127.0.0.1:8000/runbooks/Watchdog"
    assert set(watchdog["labels"]) == {"alertname", "severity"}
    assert requests.get(f"{URL}/runbooks/Watchdog", timeout=5).status_code == 200


def test_the_quick_start_works_as_written(receivers: Path, folder: Path) -> None:
    page = (folder / "QUICKSTART.md").read_text(encoding="utf-8")
    install, traffic, gone, back, remove = re.findall(r"```sh\n(.*?)\n```", page, flags=re.DOTALL)
    (queries,) = re.findall(r"```promql\n(.*?)```", page, flags=re.DOTALL)
    assert remove == "monitoring/cleanup-monitoring.sh"  # the last test runs it
    follow(folder, f"{install} --without-grafana --expose-alertmanager")
    said = follow(folder, traffic)
    assert "counters: 475 with status 200, as sent" in said
    assert "counters: 25 with status 422, as sent" in said
    assert re.search("Prometheus: [0-9]+ predictions were asked for in all, as the pods say", said)
    for expression in queries.splitlines():
        eventually(lambda expression=expression: query(expression), expression, 30)  # type: ignore[misc]
    follow(folder, gone)
    try:
        eventually(lambda: notified(receivers, "ApiDown", "firing", ALL_WAYS), "ApiDown is notified", 180)
        assert "probe_success 0" in diagnose("ApiDown")
    finally:
        follow(folder, back)
    eventually(lambda: notified(receivers, "ApiDown", "resolved", ALL_WAYS), "its end is notified", 180)


def test_everything_is_up_and_each_pod_is_scraped_once(folder: Path, core: client.CoreV1Api) -> None:
    assert f"Prometheus: {PROMETHEUS}" in deploy(folder).stdout
    others = {"prometheus", "alertmanager", "blackbox-exporter"}
    up = 'count by (job) (up{app="", probed=""} == 1)'
    eventually(lambda: {found["metric"]["job"] for found in query(up)} == others, "monitoring is up", 60)
    eventually(
        lambda: query(f'probe_success{{job="{RELEASE}"}} == 1'), "the Service answers from outside", 60
    )
    assert not query("up == 0")
    assert scraped(core)


def test_a_second_run_leaves_no_orphan(folder: Path, core: client.CoreV1Api) -> None:
    def config_maps() -> set[str]:
        found = core.list_namespaced_config_map(NAMESPACE, label_selector=PART_OF).items
        return {config_map.metadata.name for config_map in found}

    before = config_maps()
    assert len(before) == 4
    rules = folder / "rules" / "monitoring.yaml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("for: 2m", "for: 3m"), encoding="utf-8")
    deploy(folder)
    assert len(config_maps()) == 4
    assert len(config_maps() - before) == 1
    rules.write_text(text, encoding="utf-8")
    deploy(folder)
    assert config_maps() == before


def test_pods_counters_add_up_to_what_was_sent(core: client.CoreV1Api) -> None:
    def counted() -> dict[str, float]:
        wanted = 'sum by (pod) (api_requests_total{endpoint="/predict", status_code="200"})'
        return {found["metric"]["pod"]: float(found["value"][1]) for found in query(wanted)}

    eventually(lambda: len(counted()) == 2, "both pods are counted", 30)
    before = counted()
    for _ in range(60):
        assert requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).status_code == 200
    eventually(lambda: sum(counted().values()) - sum(before.values()) == 60, "all 60 are seen", 30)
    assert not query('api_requests_total{endpoint=~"/livez|/readyz|/startupz|/metrics"}')


def test_documented_queries_return_data() -> None:
    page = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```promql\n(.*?)```", page, flags=re.DOTALL)
    with Load(URL, clients=2) as load:
        eventually(lambda: load.answered > 200, "the load runs")
        for expression in block.splitlines():
            eventually(lambda expression=expression: query(expression), expression, 60)  # type: ignore[misc]


def test_a_broken_rule_is_rejected_with_its_line_and_the_old_ones_stay(
    folder: Path, core: client.CoreV1Api
) -> None:
    rules = folder / "rules" / "monitoring.yaml"
    text = rules.read_text(encoding="utf-8")
    before = kubectl("get", "configmaps", "--namespace", NAMESPACE, "--output", "name")
    (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector="app=prometheus").items
    rules.write_text(text.replace("expr: vector(1)", "expr: vector(1"), encoding="utf-8")
    try:
        rejected = deploy(folder, check=False)
    finally:
        rules.write_text(text, encoding="utf-8")
    assert rejected.returncode == 1
    assert re.search(r"monitoring\.yaml: \d+:\d+:.*Watchdog.*unclosed left parenthesis", rejected.stderr)
    assert kubectl("get", "configmaps", "--namespace", NAMESPACE, "--output", "name") == before
    (same,) = core.list_namespaced_pod(NAMESPACE, label_selector="app=prometheus").items
    assert same.metadata.uid == pod.metadata.uid


def test_prometheus_account_may_list_and_watch_pods_and_services_and_nothing_else() -> None:
    def may(account: str) -> set[str]:
        listed = kubectl("auth", "can-i", "--list", "--namespace", NAMESPACE, "--as", account)
        return {" ".join(line.split()) for line in listed.splitlines()[1:]}

    prefix = f"system:serviceaccount:{NAMESPACE}"
    assert may(f"{prefix}:prometheus") - may(f"{prefix}:default") == {
        "pods [] [] [list watch]",
        "services [] [] [list watch]",
    }


def test_history_and_silences_outlive_a_kill(core: client.CoreV1Api) -> None:
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "tests",
        "comment": "kept",
    }
    requests.post(f"{ALERTMANAGER}/api/v2/silences", json=silence, timeout=5).raise_for_status()
    before = query("min_over_time(timestamp(up{job='prometheus'})[1h:10s])")[0]["value"][1]
    began = time.time()
    with Load(URL, clients=2) as load:
        for name, code in (("prometheus", signal.SIGKILL), ("alertmanager", signal.SIGTERM)):
            (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector=f"app={name}").items
            status = pod.status.container_statuses[0]
            run(
                "ctr",
                f"--address={PROJECT / '.cluster' / pod.spec.node_name / 'containerd.sock'}",
                "--namespace=k8s.io",
                "tasks",
                "kill",
                f"--signal={code.name}",
                status.container_id.removeprefix("containerd://"),
            )

            def back(name: str = name, restarts: int = status.restart_count) -> bool:
                (pod,) = core.list_namespaced_pod(NAMESPACE, label_selector=f"app={name}").items
                status = pod.status.container_statuses[0]
                return bool(status.ready and status.restart_count > restarts)

            eventually(back, f"{name} is back", 90)
        assert load.failures == []
    eventually(both_answer, "Prometheus and Alertmanager answer", 30)
    assert query("min_over_time(timestamp(up{job='prometheus'})[1h:10s])")[0]["value"][1] == before
    back_at = time.time()
    last_scrape = "timestamp(up{job='prometheus'})"
    eventually(lambda: float(query(last_scrape)[0]["value"][1]) > back_at, "Prometheus scrapes again", 60)
    (scrapes,) = query("up{job='prometheus'}[5m]")
    took = back_at - began
    times = [float(at) for at, _ in scrapes["values"] if float(at) > began - 3 * SCRAPE_SECONDS]
    assert max(after - before for before, after in pairwise(times)) < took + 2 * SCRAPE_SECONDS
    kept = requests.get(f"{ALERTMANAGER}/api/v2/silences", timeout=5).json()
    assert [stored["comment"] for stored in kept] == ["kept"]


def test_every_query_of_every_panel_returns_data() -> None:
    run(MONITORING / "test-metrics.sh", "--requests", "400", "--errors", "10")
    batch = requests.post(f"{URL}/predict/batch", json={"instances": [SAMPLE] * 7}, timeout=5)
    assert batch.status_code == 200
    assert '"rows":7' in diagnose("ApiSaturated")
    assert RELEASE in diagnose("PredictionLatencyHigh")
    for title, expression in chain.from_iterable(map(panel_queries, HEART)):
        # rules over days are recorded every two minutes
        expression = expression.removesuffix(OR_NONE_MISSING)  # noqa: PLW2901
        eventually(lambda expression=expression: query(expression), title, 150)  # type: ignore[misc]


def test_a_metrics_port_is_not_published_and_prometheus_follows(
    core: client.CoreV1Api,
) -> None:
    helm_install("--set", "metrics.port=9091")
    replaced(core)
    eventually(lambda: scraped(core), "both pods are scraped, each once", 60)
    instances = [series["metric"]["instance"] for series in query('up{app="heart-disease-api"} == 1')]
    assert [instance.rpartition(":")[2] for instance in instances] == ["9091", "9091"]
    assert requests.get(f"{URL}/metrics", timeout=5).status_code == 404
    said = run(MONITORING / "test-metrics.sh", "--requests", "40").stdout
    assert "counters: 40 with status 200, as sent" in said
    run("helm", "test", RELEASE, "--namespace", NAMESPACE)


def test_two_versions_fill_their_dashboard(outcomes: Postgresql, core: client.CoreV1Api) -> None:
    candidate = "candidate.version=v2,candidate.shadow=true,candidate.canaryPercent=50"
    helm_install("--set", f"{feedback(outcomes)},model.name=churn,model.version=v1,{candidate}")
    replaced(core)
    row, token = System("churn").sample, bearer()

    def shown(expression: str) -> bool:
        for number in range(20):
            headers = {"X-Request-Key": str(number)}
            answer = requests.post(f"{URL}/predict", json=row, headers=headers, timeout=5).json()
            body = {"prediction_id": answer["prediction_id"], "outcome": "No"}
            requests.post(f"{URL}/feedback", json=body, headers=token, timeout=10).raise_for_status()
        return bool(query(expression))

    for title, expression in panel_queries("monitoring/grafana-versions.json"):
        eventually(lambda expression=expression: shown(expression), title, 90)  # type: ignore[misc]
    accuracies = query('count by (model_version) (model_quality{metric="accuracy"}) > 0')
    assert {series["metric"]["model_version"] for series in accuracies} == {"v1", "v2"}
    helm_install("--set", feedback(outcomes))
    kubectl("delete", "secret", f"{RELEASE}-canary-salt", "--namespace", NAMESPACE)


LOOK = """
for file in /etc/grafana/*/*.* /etc/grafana/*/*/*.*; do if [ -f "$file" ]; then echo "$file"; fi; done
touch /var/lib/grafana/written /tmp/written
"""


def test_grafana_finds_its_files_where_it_reads_them(folder: Path, core: client.CoreV1Api) -> None:
    """Its manifests are accepted by the API server, and a pod with its volumes has the files in place."""
    manifests = folder / "all.yaml"
    manifests.write_text(run(folder / "deploy-monitoring.sh", "--dry-run").stdout, encoding="utf-8")
    objects = list(yaml.safe_load_all(manifests.read_text(encoding="utf-8")))
    kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", str(manifests))
    named = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}
    spec = named["Deployment", "grafana"]["spec"]["template"]["spec"]
    (grafana,) = spec["containers"]
    assert {"name": "data", "mountPath": "/var/lib/grafana"} in grafana["volumeMounts"]
    spec["containers"] = [
        {
            "name": "look",
            "image": "busybox:stable",
            "imagePullPolicy": "Never",
            "args": ["-c", LOOK],
            "volumeMounts": grafana["volumeMounts"],
            "securityContext": grafana["securityContext"],
        }
    ]
    spec["restartPolicy"] = "Never"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "grafana-look"}, "spec": spec}
    files = [
        manifest
        for (kind, name), manifest in named.items()
        if kind == "ConfigMap" and name.startswith("grafana-")
    ]
    claim = named["PersistentVolumeClaim", "grafana"]
    manifests.write_text(yaml.safe_dump_all([*files, claim, pod]), encoding="utf-8")
    kubectl("apply", "--namespace", NAMESPACE, "--filename", str(manifests))
    try:
        done = "--for=jsonpath={.status.phase}=Succeeded"
        kubectl("wait", done, "pod/grafana-look", "--namespace", NAMESPACE, "--timeout=60s")
        said = kubectl("logs", "grafana-look", "--namespace", NAMESPACE).split()
    finally:
        kubectl("delete", "pod", "grafana-look", "--namespace", NAMESPACE)
        kubectl("delete", "pvc", "grafana", "--namespace", NAMESPACE)
        deploy(folder)
    assert set(said) == {
        "/etc/grafana/provisioning/datasources/datasources.yaml",
        "/etc/grafana/provisioning/dashboards/dashboards.yaml",
        "/etc/grafana/dashboards/grafana-dashboard.json",
        "/etc/grafana/dashboards/grafana-objectives.json",
        "/etc/grafana/dashboards/grafana-health.json",
        "/etc/grafana/dashboards/grafana-model.json",
        "/etc/grafana/dashboards/grafana-quality.json",
        "/etc/grafana/dashboards/grafana-versions.json",
    }


@pytest.mark.skipif("GRAFANA_IMAGE" not in os.environ, reason="no Grafana image: set GRAFANA_IMAGE")
def test_grafana_signs_in_and_shows_the_dashboards(folder: Path) -> None:
    text = (folder / "grafana-deployment.yaml").read_text(encoding="utf-8")
    image = re.sub(r"grafana/grafana:\S+", os.environ["GRAFANA_IMAGE"], text)
    (folder / "grafana-deployment.yaml").write_text(image, encoding="utf-8")
    run(folder / "deploy-monitoring.sh", "--expose-alertmanager", "--grafana-password", "secret")
    grafana = f"http://{NODE}:30030"
    assert requests.get(f"{grafana}/api/search", timeout=5).status_code == 401
    found = requests.get(f"{grafana}/api/search", auth=("admin", "secret"), timeout=5).json()
    assert {board["uid"] for board in found} >= {"heart-disease-api", "heart-disease-objectives"}
    health = requests.get(
        f"{grafana}/api/datasources/uid/prometheus/health", auth=("admin", "secret"), timeout=9
    )
    assert health.json()["status"] == "OK"


def test_cleaning_up_keeps_data_by_default(folder: Path, core: client.CoreV1Api) -> None:
    for _ in range(2):
        run(MONITORING / "cleanup-monitoring.sh")
    claims = core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    assert {claim.metadata.name for claim in claims} == {"prometheus", "alertmanager"}
    assert len(ready_pods(core)) == 2
    for _ in range(2):
        run(MONITORING / "cleanup-monitoring.sh", "--purge")
    kinds = "all,configmaps,serviceaccounts,roles,rolebindings,persistentvolumeclaims"
    assert not kubectl("get", kinds, "--namespace", NAMESPACE, "--selector", PART_OF, "--output", "name")
    eventually(lambda: not core.list_persistent_volume().items, "the volumes are gone", 60)
