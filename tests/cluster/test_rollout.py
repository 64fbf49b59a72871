"""A version on one replica, while clients predict: trained, shadowed, tried, promoted, taken back."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from kubernetes import client
from scipy.stats import binomtest

from tests.cluster.conftest import NAMESPACE, RELEASE, URL, helm_install, kubectl, ready_pods
from tests.harness import HEART, SAMPLE, Load, eventually, run
from tools.cluster.images import load_image
from tools.cluster.places import NODES

KEYS = 400
TRAINER = "heart-disease-api:train"
ONE = "replicaCount=1,podDisruptionBudget.enabled=false,server.drainSeconds=4"
RETRAIN = f"{ONE},retrain.enabled=true,retrain.claim=models,retrain.rows.configMap.name=rows"
SERVED = f"{RETRAIN},models.claim=models,candidate.version=v2"


def retrained(job: str) -> tuple[str, str]:
    """Run the CronJob now, and return how that ended and what it said."""
    kubectl("create", "job", job, f"--from=cronjob/{RELEASE}-retrain", "--namespace", NAMESPACE)

    def ended() -> str:
        path = "{.status.conditions[?(@.status=='True')].type}"
        said = kubectl("get", "job", job, "--namespace", NAMESPACE, "--output", f"jsonpath={path}")
        return next((it for it in ("Complete", "Failed") if it in said), "")

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


def speakers() -> dict[str, str]:
    """Return which version answers each key."""

    def speaker(key: str) -> str:
        answer = requests.post(f"{URL}/predict", json=SAMPLE, headers={"X-Request-Key": key}, timeout=10)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model"]["version"])

    names = [f"patient-{number}" for number in range(KEYS)]
    with ThreadPoolExecutor(4) as clients:
        return dict(zip(names, clients.map(speaker, names), strict=True))


def every_pod(core: client.CoreV1Api) -> list[client.V1Pod]:
    """Return the release's pods, those that answer while they go included."""
    found: list[client.V1Pod] = core.list_namespaced_pod(
        NAMESPACE, label_selector="app=heart-disease-api"
    ).items
    return found


def shown(core: client.CoreV1Api) -> str:
    """Return what the one pod has shown in its metrics."""
    (pod,) = ready_pods(core)
    return kubectl(
        "exec", pod.metadata.name, "--namespace", NAMESPACE, "--", "python", "-c",
        "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/metrics').read().decode())",
    )  # fmt: skip


@pytest.fixture
def trainer(release: None, core: client.CoreV1Api) -> Iterator[None]:
    """The image that trains, on the one node that is used; afterwards the release is as before."""
    run("buildah", "build", "--pull-never", "--layers", "--target=train", f"--tag={TRAINER}", ".")
    load_image(TRAINER, NODES[:1])
    kubectl("cordon", NODES[1].name)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": "models"}, "spec": claim})
    yield
    kubectl("uncordon", NODES[1].name)
    helm_install()
    for what in ("pvc/models", "configmap/rows"):
        kubectl("delete", what, "--namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    kubectl("delete", "jobs", "--all", "--namespace", NAMESPACE)


def test_train_shadow_canary_promote_and_roll_back(trainer: None, core: client.CoreV1Api) -> None:
    give_rows(inverted=True)
    helm_install("--set", RETRAIN)
    how, said = retrained("inverted")
    assert (how, "refused: labels look inverted" in said) == ("Failed", True), said
    give_rows()
    how, said = retrained("good")
    assert (how, "v2 is written" in said) == ("Complete", True), said

    def step(values: str) -> dict[str, str]:
        helm_install("--set", f"{SERVED},{values}")
        eventually(lambda: len(every_pod(core)) == 1, "the old pod is gone", 60)
        return speakers()

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
            assert chosen == speakers()
            its = {key for key, version in chosen.items() if version == "v2"}
            assert taken <= its
            taken = its
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
