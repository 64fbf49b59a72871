"""A version on one replica, while clients predict: trained, shadowed, canaried, promoted, rolled back."""

import base64
import copy
import csv
import io
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from kubernetes import client
from scipy.stats import binomtest

from tests.cluster.conftest import NAMESPACE, RELEASE, URL, every_pod, helm_install, kubectl, ready_pods
from tests.harness import HEART, PROJECT, SAMPLE, Load, eventually, free_port, problem, run
from tests.mlflow import TOO_FEW, log_few_rows
from tools.cluster.images import build_image, load_image
from tools.cluster.places import NODES

KEYS = 400
TRAINER = "heart-disease-api:train"
MLFLOW = "heart-disease-api-mlflow:3.17.2"
ONE = "replicaCount=1,podDisruptionBudget.enabled=false,server.drainSeconds=4"
RETRAIN = (
    f"{ONE},retrain.enabled=true,retrain.claim=models,retrain.rows.configMap.name=rows,"
    "retrain.endpoint.enabled=true"
)
NAME = f"{RELEASE}-retrain"
ACCOUNT = f"{NAME}-endpoint"
Job = dict[str, Any]
SERVED = f"{RETRAIN},models.claim=models,candidate.version=v2"


@contextmanager
def forwarded(service: str, its_port: int) -> Iterator[str]:
    """Reach a service as docs/rollout.md describes."""
    port = free_port()
    command = [
        "kubectl",
        "port-forward",
        f"service/{service}",
        f"{port}:{its_port}",
        "--namespace",
        NAMESPACE,
    ]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "Forwarding" in process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def bearer(core: client.CoreV1Api) -> dict[str, str]:
    """Return the header with the key that the chart has made."""
    key = base64.b64decode(core.read_namespaced_secret(f"{NAME}-key", NAMESPACE).data["key"]).decode()
    return {"Authorization": f"Bearer {key}"}


def scheduled(job: str) -> tuple[str, str]:
    """Run the CronJob now, and return how it ended and its log."""
    kubectl("create", "job", job, f"--from=cronjob/{NAME}", "--namespace", NAMESPACE)
    return end(job)


def end(job: str) -> tuple[str, str]:
    """Wait for a Job, and return how it ended and its log."""

    def ended() -> str:
        path = "{.status.conditions[?(@.status=='True')].type}"
        said = kubectl("get", "job", job, "--namespace", NAMESPACE, "--output", f"jsonpath={path}")
        return next((condition for condition in ("Complete", "Failed") if condition in said), "")

    how = eventually(ended, "the job ends", 240)
    return how, kubectl("logs", f"job/{job}", "--namespace", NAMESPACE)


def give_rows(*, inverted: bool = False) -> None:
    """Make the ConfigMap of rows from the model's own data."""
    with (HEART / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    target = "narrowing_over_50"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([row | {target: str(1 - int(row[target]))} if inverted else row for row in rows])
    kubectl("delete", "configmap", "rows", "--namespace", NAMESPACE, "--ignore-not-found")
    content = f"--from-literal=rows.csv={text.getvalue()}"
    kubectl("create", "configmap", "rows", content, "--namespace", NAMESPACE)


def answering_versions() -> dict[str, str]:
    """Return which version answers each key."""

    def answering_version(key: str) -> str:
        answer = requests.post(f"{URL}/predict", json=SAMPLE, headers={"X-Request-Key": key}, timeout=10)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model"]["version"])

    names = [f"patient-{number}" for number in range(KEYS)]
    with ThreadPoolExecutor(4) as clients:
        return dict(zip(names, clients.map(answering_version, names), strict=True))


def job_template() -> Job:
    """Return the Job that the endpoint creates."""
    found = kubectl("get", "configmap", ACCOUNT, "--namespace", NAMESPACE, "--output=json")
    job: Job = json.loads(json.loads(found)["data"]["job.json"])
    return job


def shown(core: client.CoreV1Api) -> str:
    """Return what the one pod has shown in its metrics."""
    (pod,) = ready_pods(core)
    return kubectl(
        "exec", pod.metadata.name, "--namespace", NAMESPACE, "--", "python", "-c",
        "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/metrics').read().decode())",
    )  # fmt: skip


@pytest.fixture(scope="module")
def trainer(core: client.CoreV1Api) -> Iterator[None]:
    """The trainer's image on the one node in use; afterwards the release is as before."""
    helm_install()
    options = ["--pull-never", "--layers", "--build-arg=PYTHON_IMAGE", "--target=train"]
    run("buildah", "build", *options, f"--tag={TRAINER}", ".")
    load_image(TRAINER, NODES[:1])
    kubectl("cordon", NODES[1].name)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": "models"}, "spec": claim})
    yield
    kubectl("uncordon", NODES[1].name)
    helm_install()
    for what in ("pvc/models", "configmap/rows", "pod/mlflow", "service/mlflow"):
        kubectl("delete", what, "--namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    kubectl("delete", "jobs", "--all", "--namespace", NAMESPACE)


@pytest.fixture(scope="module")
def retraining(trainer: None) -> None:
    """The release with the CronJob and the endpoint; its rows have inverted labels."""
    give_rows(inverted=True)
    helm_install("--set", RETRAIN)


@pytest.fixture(scope="module")
def account(retraining: None, core: client.CoreV1Api) -> client.BatchV1Api:
    """The API server as the endpoint's service account sees it, by its token."""
    configuration = client.Configuration()
    configuration.host = core.api_client.configuration.host
    configuration.ssl_ca_cert = core.api_client.configuration.ssl_ca_cert
    token = kubectl("create", "token", ACCOUNT, "--namespace", NAMESPACE).strip()
    configuration.api_key = {"authorization": f"Bearer {token}"}
    return client.BatchV1Api(client.ApiClient(configuration))


def test_the_endpoint_starts_one_run_at_a_time(retraining: None, core: client.CoreV1Api) -> None:
    key = bearer(core)
    helm_install("--set", RETRAIN)
    assert bearer(core) == key  # an upgrade keeps it
    with forwarded(NAME, 80) as endpoint:
        url = f"{endpoint}/models/heart-disease/retrain"
        problem(requests.post(url, timeout=10), 401, "Unauthorized")
        started = requests.post(url, headers=key, timeout=10)
        watch = f"kubectl logs --follow job/{NAME} --namespace {NAMESPACE}"
        assert started.status_code == 202, started.text
        assert started.json()["watch"] == watch
        assert (
            f"kubectl get job {NAME}"
            in problem(requests.post(url, headers=key, timeout=10), 409, "AlreadyRunning")["detail"]
        )
        how, said = end(NAME)
        assert (how, "gate failed: labels look inverted" in said) == ("Failed", True), said
        problem(requests.post(url, headers=key, timeout=10), 409, "AlreadyRunning")
    kubectl("delete", "job", NAME, "--namespace", NAMESPACE)  # as Kubernetes does after keepSeconds
    assert job_template()["spec"]["ttlSecondsAfterFinished"] == 300


def at(job: Job, path: Sequence[str]) -> Any:
    """Return the part of a Job at this path; missing objects are created."""
    part: Any = job
    for step in path:
        part = part[int(step)] if isinstance(part, list) else part.setdefault(step, {})
    return part


def setting(value: object, *path: str) -> Callable[[Job], None]:
    return lambda job: at(job, path[:-1]).__setitem__(path[-1], value)


def without(*path: str) -> Callable[[Job], None]:
    return lambda job: at(job, path[:-1]).pop(path[-1])


def with_a_second_container(job: Job) -> None:
    at(job, (*POD, "containers")).append({"name": "b", "image": "python:3.13-slim"})


def with_pods_of_others(job: Job) -> None:
    selector = {"matchLabels": {"app": "heart-disease-api-retrain"}}
    job["spec"] |= {"manualSelector": True, "selector": selector}


def with_a_claim(job: Job) -> None:
    at(job, POD)["resourceClaims"] = [{"name": "a", "resourceClaimName": "a"}]
    at(job, RESOURCES)["claims"] = [{"name": "a"}]


def with_an_owner(job: Job) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": ACCOUNT, "uid": "0", "controller": False}
    job["metadata"]["ownerReferences"] = [owner]


def indexed(**more: object) -> Callable[[Job], None]:
    """Fields that need an index are invalid without it, and would not reach the policy."""
    return lambda job: job["spec"].update({"completionMode": "Indexed"} | more)


POD = ("spec", "template", "spec")
TEMPLATE = ("spec", "template", "metadata")
RESOURCES = (*POD, "containers", "0", "resources")
METADATA = "has metadata that is given"
SPEC = "runs once, and no longer"
FINALIZERS = ["example.org/never"]
ON_FAILURE = {
    "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
}
ON_SUCCESS = {"rules": [{"succeededCount": 1}]}
CONTAINER = (*POD, "containers", "0")
LABELS = ("spec", "template", "metadata", "labels")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (setting("other", "metadata", "name"), "one Job, of one name"),
        (setting("python:3.13-slim", *CONTAINER, "image"), "has a container that is given"),
        (setting(["sh", "-c", "id"], *CONTAINER, "command"), "has a container that is given"),
        (setting(["--model=../.."], *CONTAINER, "args"), "has a container that is given"),
        (setting({"privileged": True}, *CONTAINER, "securityContext"), "has a container that is given"),
        (without(*CONTAINER, "securityContext"), "has a container that is given"),
        (with_a_second_container, "has a container that is given"),
        (setting(True, *POD, "automountServiceAccountToken"), "has a pod that is given"),
        (without(*POD, "automountServiceAccountToken"), "has a pod that is given"),
        (setting("default", *POD, "serviceAccountName"), "has a pod that is given"),
        (setting(True, *POD, "hostNetwork"), "has a pod that is given"),
        (
            setting([{"name": "sh", "image": "a", "command": ["id"]}], *POD, "initContainers"),
            "that is given",
        ),
        (setting({"path": "/"}, *POD, "volumes", "0", "hostPath"), ""),
        (
            setting({"claimName": "outcomes"}, *POD, "volumes", "1", "persistentVolumeClaim"),
            "that is given",
        ),
        (setting("heart-disease-api", *LABELS, "app"), "has labels that are given"),
        (setting("more", *LABELS, "more"), "has labels that are given"),
        (setting({}, *LABELS), "has labels that are given"),
        (setting({"a": "b"}, "spec", "template", "metadata", "annotations"), "has labels that are given"),
        (setting(50, "spec", "parallelism"), "runs once, and no longer"),
        (setting(50, "spec", "completions"), "runs once, and no longer"),
        (setting(9, "spec", "backoffLimit"), "runs once, and no longer"),
        (without("spec", "activeDeadlineSeconds"), "runs once, and no longer"),
        (setting(86_400, "spec", "activeDeadlineSeconds"), "runs once, and no longer"),
        (with_pods_of_others, "runs once, and no longer"),
        (setting(True, "spec", "suspend"), SPEC),
        (setting("example.org/nobody", "spec", "managedBy"), SPEC),
        (setting("Failed", "spec", "podReplacementPolicy"), SPEC),
        (without("spec", "ttlSecondsAfterFinished"), SPEC),
        (setting(86_400, "spec", "ttlSecondsAfterFinished"), SPEC),
        (setting(ON_FAILURE, "spec", "podFailurePolicy"), SPEC),
        (without("spec", "backoffLimit"), SPEC),
        (without("spec", "completions"), SPEC),
        (indexed(), SPEC),
        (indexed(backoffLimitPerIndex=9), SPEC),
        (indexed(backoffLimitPerIndex=9, maxFailedIndexes=1), SPEC),
        (indexed(successPolicy=ON_SUCCESS), SPEC),
        (setting({"matchLabels": {"job-name": NAME}}, "spec", "selector"), "counts the pods of its own"),
        (
            setting([{"key": "job-name", "operator": "Exists"}], "spec", "selector", "matchExpressions"),
            "counts the pods of its own",
        ),
        (setting(FINALIZERS, "metadata", "finalizers"), METADATA),
        (setting(["foregroundDeletion"], "metadata", "finalizers"), METADATA),
        (with_an_owner, METADATA),
        (setting({"a": "b"}, "metadata", "annotations"), METADATA),
        (setting(f"{NAME}-", "metadata", "generateName"), METADATA),
        (setting("more", "metadata", "labels", "more"), METADATA),
        (setting("heart-disease-api", "metadata", "labels", "app"), METADATA),
        (without("metadata", "labels", "app"), METADATA),
        (without("metadata", "labels"), METADATA),
        (setting(FINALIZERS, *TEMPLATE, "finalizers"), "has labels that are given"),
        (setting("other", *TEMPLATE, "name"), "has labels that are given"),
        (setting("2020-01-01T00:00:00Z", *TEMPLATE, "creationTimestamp"), "has labels that are given"),
        (setting("64Gi", *RESOURCES, "limits", "memory"), "has resources that are given"),
        (setting("1Mi", *RESOURCES, "requests", "memory"), "has resources that are given"),
        (setting("1", *RESOURCES, "limits", "cpu"), "has resources that are given"),
        (setting("1", *RESOURCES, "limits", "example.org/gpu"), "has resources that are given"),
        (without(*RESOURCES, "limits", "memory"), "has resources that are given"),
        (without(*RESOURCES, "limits"), "has resources that are given"),
        (without(*RESOURCES), "has resources that are given"),
        (setting(86_400, *POD, "activeDeadlineSeconds"), "has a pod that is given"),
        (setting(86_400, *POD, "terminationGracePeriodSeconds"), "has a pod that is given"),
        (setting([{"name": "never"}], *POD, "schedulingGates"), "has a pod that is given"),
        (setting({"kubernetes.io/hostname": "none"}, *POD, "nodeSelector"), "has a pod that is given"),
        (with_a_claim, "that is given"),
    ],
)
def test_the_account_cannot_create_another_job(
    account: client.BatchV1Api, change: Callable[[Job], None], sentence: str
) -> None:
    job = job_template()
    change(job)
    with pytest.raises(client.ApiException) as refusal:
        account.create_namespaced_job(NAMESPACE, job, dry_run="All")
    assert refusal.value.status == 422
    assert sentence in json.loads(refusal.value.body)["message"]


def test_the_account_can_create_that_job_and_nothing_else(account: client.BatchV1Api) -> None:
    account.create_namespaced_job(NAMESPACE, job_template(), dry_run="All")
    in_another_spelling = job_template()
    at(in_another_spelling, RESOURCES)["requests"]["cpu"] = "0.5"  # which is 500m, as the chart's is
    at(in_another_spelling, RESOURCES)["limits"]["memory"] = "2097152Ki"
    account.create_namespaced_job(NAMESPACE, in_another_spelling, dry_run="All")
    review = client.V1SelfSubjectRulesReview(spec={"namespace": NAMESPACE})
    rules = client.AuthorizationV1Api(account.api_client).create_self_subject_rules_review(review)
    of_oneself = {"authorization.k8s.io", "authentication.k8s.io"}
    assert [
        (rule.api_groups, rule.resources, rule.verbs)
        for rule in rules.status.resource_rules
        if not set(rule.api_groups) <= of_oneself
    ] == [(["batch"], ["jobs"], ["create"])]
    core = client.CoreV1Api(account.api_client)
    elsewhere = copy.deepcopy(job_template())
    elsewhere["metadata"]["namespace"] = "default"
    attempts: list[Callable[[], object]] = [
        lambda: account.create_namespaced_job("default", elsewhere, dry_run="All"),
        lambda: account.list_namespaced_job(NAMESPACE),
        lambda: account.read_namespaced_job(NAME, NAMESPACE),
        lambda: account.delete_namespaced_job(NAME, NAMESPACE),
        lambda: account.patch_namespaced_cron_job(NAME, NAMESPACE, {"spec": {"suspend": False}}),
        lambda: core.list_namespaced_secret(NAMESPACE),
        lambda: core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": "a"}}, dry_run="All"),
    ]
    for attempt in attempts:
        with pytest.raises(client.ApiException) as refusal:
            attempt()
        assert refusal.value.status == 403


def test_train_shadow_canary_promote_and_roll_back(retraining: None, core: client.CoreV1Api) -> None:
    give_rows()
    how, said = scheduled("good")
    assert (how, "v2 is written" in said) == ("Complete", True), said

    def step(values: str) -> dict[str, str]:
        helm_install("--set", f"{SERVED},{values}")
        eventually(lambda: len(every_pod(core)) == 1, "the old pod is gone", 60)
        return answering_versions()

    taken: set[str] = set()
    with Load(URL, clients=4) as load:
        eventually(lambda: load.answered > 50, "the load runs")
        shadow = step("candidate.shadow=true")
        assert set(shadow.values()) == {"v1"}
        eventually(
            lambda: (
                'shadow_rows_total{model="heart-disease",model_version="v2",outcome="agreed"} 0.0'
                not in shown(core)
            ),
            "the candidate answers in the shadow",
        )
        for percent in (10, 50, 100):
            chosen = step(f"candidate.canaryPercent={percent}")
            assert chosen == answering_versions()
            candidate_keys = {key for key, version in chosen.items() if version == "v2"}
            assert taken <= candidate_keys
            taken = candidate_keys
            count = Counter(chosen.values())["v2"]
            assert binomtest(count, KEYS, percent / 100).pvalue > 1e-4, f"{count} of {KEYS} at {percent} %"
        paused = step("candidate.canaryPercent=100,candidate.canaryPaused=true")
        assert set(paused.values()) == {"v1"}
        promoted = step("model.version=v2")
        assert set(promoted.values()) == {"v2"}
        back = step("model.version=v1,candidate.canaryPercent=0")
        assert set(back.values()) == {"v1"}
        answered = load.answered
        eventually(lambda: load.answered > answered + 50, "answers go on")
    assert load.failures == []
    helm_install("--set", RETRAIN)
    kubectl("delete", "secret", f"{RELEASE}-canary-salt", "--namespace", NAMESPACE)  # which is kept


def test_rows_may_be_an_artifact_of_an_mlflow_run(retraining: None) -> None:
    """Fifty rows: the message that they are too few shows that the Job got them."""
    build_image(MLFLOW, PROJECT, "compose/churn/mlflow/Dockerfile")
    load_image(MLFLOW, NODES[:1])
    kubectl("run", "mlflow", f"--image={MLFLOW}", "--port=5000", "--expose", "--namespace", NAMESPACE)
    asking = "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health', timeout=3)"
    asked = ["kubectl", "exec", "mlflow", "--namespace", NAMESPACE, "--", "python", "-c", asking]
    eventually(lambda: run(*asked, check=False).returncode == 0, "MLflow answers", 120)
    with forwarded("mlflow", 5000) as uri:
        artifact = log_few_rows(uri)
    helm_install("--set", f"{RETRAIN},retrain.file={artifact},retrain.mlflowTrackingUri=http://mlflow:5000")
    how, said = scheduled("from-mlflow")
    assert (how, said.splitlines()[-1]) == ("Failed", TOO_FEW), said
