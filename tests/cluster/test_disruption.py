"""Disruptions of a cluster while clients predict without pause: not one request fails."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes import client

from tests.cluster.conftest import (
    NAMESPACE,
    RELEASE,
    URL,
    helm_install,
    kill,
    kubectl,
    pods,
    ready_pods,
    restarts,
)
from tests.harness import PROJECT, Load, eventually, run

pytestmark = pytest.mark.usefixtures("release")

ENOUGH = 300


@contextmanager
def no_request_fails() -> Iterator[Load]:
    """Keep clients busy on a node port during the block, and a while after it."""
    with Load(URL, clients=4) as load:
        eventually(lambda: load.answered > 50, "the load runs")
        yield load
        settled = load.answered
        eventually(lambda: load.answered > settled + 100, "answers go on")
    assert load.failures == []
    assert load.answered > ENOUGH


def test_rolling_update() -> None:
    with no_request_fails():
        kubectl("rollout", "restart", f"deployment/{RELEASE}", "--namespace", NAMESPACE)
        kubectl("rollout", "status", f"deployment/{RELEASE}", "--namespace", NAMESPACE, "--timeout=120s")


def test_deleted_pod(core: client.CoreV1Api) -> None:
    with no_request_fails():
        victim = ready_pods(core)[0].metadata.name
        kubectl("delete", "pod", victim, "--namespace", NAMESPACE)
        eventually(lambda: len(ready_pods(core)) == 2, "another takes its place", 60)


def test_a_flood_of_batches_fails_no_probe(core: client.CoreV1Api) -> None:
    """500 connections that send batches of 1,000 rows without pause; once, they starved every new one."""
    before = {pod.metadata.name: restarts(core, pod) for pod in ready_pods(core)}
    failed = unhealthy(core)
    host, port = URL.removeprefix("http://").split(":")
    statuses = json.loads(run(sys.executable, "-m", "tests.flood", host, port, "500", "30").stdout)
    assert statuses["200"] > 0, statuses
    assert statuses["429"] > 0, statuses
    assert unhealthy(core) == failed
    assert {pod.metadata.name: restarts(core, pod) for pod in ready_pods(core)} == before


def unhealthy(core: client.CoreV1Api) -> dict[str, int]:
    """Return the events of failed probes of the release's pods, with their numbers."""
    events = core.list_namespaced_event(NAMESPACE, field_selector="reason=Unhealthy").items
    names = {pod.metadata.name for pod in pods(core)}
    return {event.metadata.name: event.count or 1 for event in events if event.involved_object.name in names}


def test_drained_node(core: client.CoreV1Api) -> None:
    with no_request_fails():
        kubectl("drain", "heart-node2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
        eventually(lambda: len(ready_pods(core)) == 2, "both pods are ready again", 60)
        assert {pod.spec.node_name for pod in pods(core)} == {"heart-node1"}


def test_the_budget_rejects_one_eviction_too_many(core: client.CoreV1Api) -> None:
    def evict(pod: client.V1Pod) -> int:
        body = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name, namespace=NAMESPACE))
        try:
            core.create_namespaced_pod_eviction(pod.metadata.name, NAMESPACE, body)
        except client.ApiException as error:
            return int(error.status)
        return 201

    first, second = ready_pods(core)
    with no_request_fails():
        assert [evict(first), evict(second)] == [201, 429]
        eventually(lambda: len(ready_pods(core)) == 2, "the first is replaced", 60)


def test_scaling_from_three_to_one(core: client.CoreV1Api) -> None:
    with no_request_fails():
        helm_install("--set", "replicaCount=3")
        eventually(lambda: len(ready_pods(core)) == 3, "three are ready", 60)
        helm_install("--set", "replicaCount=1")
        eventually(lambda: len(pods(core)) == 1, "one is left", 60)


def test_lost_kubelet(core: client.CoreV1Api) -> None:
    """The node's pods keep answering without their kubelet; the node is ready again with it."""

    def condition() -> str:
        conditions = core.read_node("heart-node2").status.conditions
        return str(next(c.status for c in conditions if c.type == "Ready"))

    (pid_file,) = (PROJECT / ".cluster" / "pids").glob("*-heart-node2-kubelet")
    with no_request_fails():
        os.kill(int(pid_file.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)
        eventually(lambda: condition() != "True", "the node is not ready", 90)
    run("python3", "-m", "tools.cluster", "up")
    eventually(lambda: condition() == "True", "the node is back", 60)


def test_killed_container(core: client.CoreV1Api) -> None:
    """The other pod keeps answering; the killed one restarts. Its requests in flight are lost."""
    victim = next(pod for pod in ready_pods(core) if pod.spec.node_name == "heart-node2")
    with Load(URL, clients=4) as load:
        eventually(lambda: load.answered > 50, "the load runs")
        kill(victim)
        killed_at = load.answered
        eventually(lambda: load.answered > killed_at + 100, "answers go on")
        eventually(lambda: restarts(core, victim) > 0, "it is back", 60)


def test_autoscaling_out_and_in(core: client.CoreV1Api) -> None:
    values = ["--set", "autoscaling.enabled=true", "--set", "autoscaling.minReplicas=1"]
    values += ["--set", "autoscaling.maxReplicas=3", "--set", "autoscaling.targetCPUUtilizationPercentage=60"]
    helm_install(*values)
    hpa = f"horizontalpodautoscaler/{RELEASE}"
    behaviour = '{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":5}}}}'
    kubectl("patch", hpa, "--namespace", NAMESPACE, "--patch", behaviour)
    eventually(lambda: len(pods(core)) == 1, "rest scales in", 180)
    with no_request_fails():
        eventually(lambda: len(ready_pods(core)) >= 2, "load scales out", 180)
    eventually(lambda: len(pods(core)) == 1, "rest scales in", 180)
