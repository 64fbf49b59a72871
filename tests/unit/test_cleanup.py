"""cleanup.sh and cleanup-monitoring.sh delete nothing after a query that failed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stand_ins import MONITORING, SCRIPTS, StandIns, say

CLEANUP = SCRIPTS / "cleanup.sh"
NAMESPACE = "kubectl get namespace mlops*"
KINDS = "kubectl api-resources *"
LISTING = "kubectl get *configmaps*"
LISTABLE = (
    *("configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "secrets", "serviceaccounts"),
    *("leases.coordination.k8s.io", "endpointslices.discovery.k8s.io", "events.events.k8s.io"),
    *("pods.metrics.k8s.io", "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io"),
    *("roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io", "patients.example.org"),
)
OWN = ("configmap/kube-root-ca.crt", "serviceaccount/default")
EMPTY = {NAMESPACE: say("namespace/mlops"), KINDS: say(*LISTABLE), LISTING: say(*OWN)}
DELETIONS = ("kubectl delete", "helm uninstall")

Start = Callable[[dict[str, str]], StandIns]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return lambda answers: StandIns(tmp_path / "stand-ins", answers)


def deletions(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith(DELETIONS)]


def test_an_empty_namespace_is_purged(start: Start) -> None:
    cluster = start(EMPTY)
    assert cluster.run(CLEANUP, "--purge").returncode == 0
    assert deletions(cluster.calls())[-1] == "kubectl delete namespace mlops --wait"


@pytest.mark.parametrize("fails_late", [False, True], ids=["says nothing", "says a part"])
def test_nothing_is_deleted_after_a_failed_call(start: Start, fails_late: bool) -> None:
    cluster = start(EMPTY)
    cluster.run(CLEANUP, "--purge")
    number = len(cluster.calls())
    assert number >= 6
    for failing in range(1, number + 1):
        result = cluster.run(CLEANUP, "--purge", fails_at=failing, fails_late=fails_late)
        calls = cluster.calls()
        assert result.returncode == 1, calls
        assert result.stderr.splitlines()[-1].startswith("error: "), (calls, result.stderr)
        assert not deletions(calls[failing:]), calls


@pytest.mark.parametrize(
    "left",
    [
        "ingress.networking.k8s.io/theirs",
        "role.rbac.authorization.k8s.io/theirs",
        "rolebinding.rbac.authorization.k8s.io/theirs",
        "networkpolicy.networking.k8s.io/theirs",
        "patient.example.org/theirs",
        "persistentvolumeclaim/heart-disease-api-outcomes",
        "secret/heart-disease-api-feedback-keys",
        "configmap/kube-root-ca.crt.theirs",
        "serviceaccount/default-theirs",
        "secret/default-token-abcde",
    ],
)
def test_a_namespace_with_other_objects_is_kept(start: Start, left: str) -> None:
    cluster = start(EMPTY | {LISTING: say(*OWN, left)})
    result = cluster.run(CLEANUP, "--purge")
    assert result.returncode == 0, result.stderr
    assert f"namespace mlops is kept, because it holds: {left}" in result.stdout
    assert deletions(cluster.calls()) == ["helm uninstall heart-disease-api --namespace mlops --wait"]


def test_every_kind_is_listed_except_those_kubernetes_fills(start: Start) -> None:
    cluster = start(EMPTY)
    cluster.run(CLEANUP, "--purge")
    (listing,) = [call for call in cluster.calls() if call.startswith("kubectl get") and "configmaps" in call]
    asked = listing.split()[2].split(",")
    filled = {"endpoints", "events", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io"}
    assert set(asked) == set(LISTABLE) - filled - {"events.events.k8s.io", "pods.metrics.k8s.io"}


def test_an_empty_list_of_kinds_is_a_failure(start: Start) -> None:
    cluster = start(EMPTY | {KINDS: "true"})
    result = cluster.run(CLEANUP, "--purge")
    assert result.returncode == 1
    assert "did not name all its kinds of objects" in result.stderr
    assert not [call for call in cluster.calls() if call.startswith("kubectl delete")]


def test_a_token_made_by_kubernetes_does_not_keep_the_namespace(start: Start) -> None:
    token = "secret/default-token-abcde"  # noqa: S105  # a name
    tokens = {"kubectl get secrets *service-account-token*": say(token)}
    cluster = start(tokens | EMPTY | {LISTING: say(*OWN, token)})
    assert cluster.run(CLEANUP, "--purge").returncode == 0
    assert deletions(cluster.calls())[-1] == "kubectl delete namespace mlops --wait"


def test_cleaning_up_twice_succeeds(start: Start) -> None:
    missing = "echo 'Error: uninstall: Release not loaded: heart-disease-api: release: not found' >&2; exit 1"
    cluster = start({"helm uninstall *": missing} | EMPTY | {NAMESPACE: "true"})
    result = cluster.run(CLEANUP, "--purge")
    assert result.returncode == 0, result.stderr
    assert not [call for call in cluster.calls() if call.startswith("kubectl delete")]


@pytest.mark.parametrize(
    "said",
    ["Release not loaded: heart-disease-api: query: failed to query", "Failed to purge: release: not found"],
)
def test_another_helm_failure_is_not_mistaken_for_a_missing_release(start: Start, said: str) -> None:
    cluster = start({"helm uninstall *": f"echo 'Error: uninstall: {said}' >&2; exit 1"} | EMPTY)
    result = cluster.run(CLEANUP, "--purge")
    assert result.returncode == 1
    assert said in result.stderr
    assert not [call for call in cluster.calls() if call.startswith("kubectl delete")]


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-node-lease"])
def test_namespaces_of_kubernetes_are_never_purged(start: Start, namespace: str) -> None:
    cluster = start(EMPTY)
    result = cluster.run(CLEANUP, "--purge", "--namespace", namespace)
    assert result.returncode == 1
    assert not cluster.calls()


def test_a_dry_run_deletes_nothing(start: Start) -> None:
    cluster = start(EMPTY | {LISTING: say(*OWN, "pod/heart-disease-api-1")})
    result = cluster.run(CLEANUP, "--purge", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "unless anything but the release is in it; it holds: pod/heart-disease-api-1" in result.stdout
    assert not deletions(cluster.calls())


@pytest.mark.parametrize("options", [[], ["--purge"], ["--dry-run"]])
def test_cleaning_up_monitoring_stops_at_a_failed_call(start: Start, options: list[str]) -> None:
    script = MONITORING / "cleanup-monitoring.sh"
    cluster = start({"kubectl get *": say("persistentvolumeclaim/prometheus")})
    assert cluster.run(script, *options).returncode == 0
    number = len(cluster.calls())
    for failing in range(1, number + 1):
        result = cluster.run(script, *options, fails_at=failing, fails_late=True)
        calls = cluster.calls()
        assert result.returncode == 1, calls
        assert result.stderr.splitlines()[-1].startswith("error: "), (calls, result.stderr)
        assert not deletions(calls[failing:]), calls
