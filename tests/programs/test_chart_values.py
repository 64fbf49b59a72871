"""Values as other people write them: numbers as text, long names, own labels, budgets, umbrella charts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import CHART, run
from tests.programs.test_chart import rejected, rendered, template

EVERYTHING = CHART / "ci" / "everything.yaml"


def written(folder: Path, **values: Any) -> list[str]:
    """Return the options that give values as a file does, whose numbers are floats."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return ["--values", str(file)]


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [found for found in objects if found["kind"] == kind]
    return found


def texts(value: object) -> list[object]:
    """Return all values of labels, annotations and environments in an object."""
    if isinstance(value, list):
        return [text for member in value for text in texts(member)]
    if not isinstance(value, dict):
        return []
    found = [member["value"] for member in value.get("env") or [] if "value" in member]
    for name in ("labels", "annotations", "matchLabels", "nodeSelector"):
        found += list((value.get(name) or {}).values())
    return found + [text for member in value.values() for text in texts(member)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4194304, "4194304"),
        (10**15, "1000000000000000"),
        (0.25, "0.25"),
        (True, "true"),
        ("1e3", "1e3"),
        ("0123", "0123"),
        ("null", "null"),
        ("", ""),
        ("a: b # c", "a: b # c"),
        ("Köln 'x' \"y\"", "Köln 'x' \"y\""),
    ],
)
def test_a_value_is_the_text_that_was_written(value: object, text: str, tmp_path: Path) -> None:
    labels = {"number": value} if re.fullmatch(r"[A-Za-z0-9.]*", text) else {}
    options = written(
        tmp_path,
        extraEnv=[{"name": "MAX_BODY_BYTES", "value": value}],
        podAnnotations={"a.example/x": value},
        podLabels=labels,
        nodeSelector=labels,
        ingress={"enabled": True, "annotations": {"a.example/x": value}},
        metrics={"serviceMonitor": {"enabled": True, "labels": labels}},
    )
    objects = template(*options)
    pod = of_kind(objects, "Deployment")["spec"]["template"]
    assert pod["spec"]["containers"][0]["env"] == [{"name": "MAX_BODY_BYTES", "value": text}]
    assert pod["metadata"]["annotations"]["a.example/x"] == text
    if labels:
        assert pod["metadata"]["labels"]["number"] == text
        assert pod["spec"]["nodeSelector"] == {"number": text}
        assert of_kind(objects, "ServiceMonitor")["metadata"]["labels"]["number"] == text
    assert of_kind(objects, "Ingress")["metadata"]["annotations"] == {"a.example/x": text}


NUMBERS = ["123", "1e3", "true", "null", "0x1f", "on", "2024-01-01"]


@pytest.mark.parametrize("name", NUMBERS)
def test_names_that_yaml_could_read_as_something_else_stay_text(name: str, tmp_path: Path) -> None:
    options = written(
        tmp_path,
        nameOverride=name,
        fullnameOverride=f"heart-{name}",
        priorityClassName=name,
        models={"claim": name},
        feedback={"enabled": True, "databaseSecret": name, "keysSecret": name, "tokenSecret": name},
        candidate={"version": "v2", "saltSecret": name},
        ingress={"enabled": True, "className": name, "tlsSecretName": name},
        retrain={
            "enabled": True,
            "claim": name,
            "rows": {"persistentVolumeClaim": {"claimName": name}},
            "endpoint": {"enabled": True, "keySecret": name},
        },
    )
    found = run("helm", "template", f"{name}-x", CHART, "--namespace", name, *options).stdout
    objects = [found for found in yaml.safe_load_all(found) if found]
    for given in objects:
        assert {type(text) for text in texts(given)} <= {str}, given
        assert given["metadata"].get("namespace", name) == name
        assert isinstance(given["metadata"]["name"], str)
    pod = of_kind(
        [manifest for manifest in objects if manifest["metadata"]["name"] == f"heart-{name}"], "Deployment"
    )
    spec = pod["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == name
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["keys"]["secret"]["secretName"] == name
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": name}
    ingress = of_kind(objects, "Ingress")["spec"]
    assert (ingress["ingressClassName"], ingress["tls"][0]["secretName"]) == (name, name)


def umbrella(folder: Path, alias: str | None, **values: Any) -> str:
    """Return what a chart renders that has ours among its dependencies."""
    (folder / "charts").mkdir()
    (folder / "charts" / "heart-disease-api").symlink_to(CHART)
    name = alias or "heart-disease-api"
    dependency = {"name": "heart-disease-api", "version": ">=0", "condition": f"{name}.enabled"}
    chart = {"apiVersion": "v2", "name": "hospital", "version": "1.0.0"}
    chart["dependencies"] = [dependency | ({"alias": alias} if alias else {})]  # type: ignore[assignment]
    (folder / "Chart.yaml").write_text(json.dumps(chart), encoding="utf-8")
    (folder / "values.yaml").write_text(json.dumps({name: values}), encoding="utf-8")
    return run("helm", "template", "ward", folder).stdout


@pytest.mark.parametrize("alias", [None, "api"])
@pytest.mark.parametrize("enabled", [True, False])
def test_an_umbrella_chart_switches_it(alias: str | None, enabled: bool, tmp_path: Path) -> None:
    found = umbrella(tmp_path, alias, enabled=enabled)
    kinds = {found["kind"] for found in yaml.safe_load_all(found) if found}
    assert ("Deployment" in kinds) == enabled


def test_rules_go_by_the_names_that_a_release_has_under_an_alias(tmp_path: Path) -> None:
    found = umbrella(
        tmp_path, "api", metrics={"prometheusRule": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    )
    objects = [found for found in yaml.safe_load_all(found) if found]
    name = of_kind(objects, "Service")["metadata"]["name"]
    assert name == "ward-api"
    rules = json.dumps(of_kind(objects, "PrometheusRule")["spec"])
    assert "@job@" not in rules
    assert f'job=\\"{name}\\"' in rules


LONGEST = "r" * 53
"""Helm allows no longer name of a release."""

LIMITS = {"CronJob": 52, "Service": 63, "Deployment": 63}
"""Kubernetes' limits; other kinds have 253. A Deployment's name is a label of its pods' job."""


@pytest.mark.parametrize("name", ["n" * 63, "a-" * 31 + "b", "short"])
def test_names_fit_kubernetes_and_stay_different(name: str, tmp_path: Path) -> None:
    metrics = {"port": 9091, "serviceMonitor": {"enabled": True}, "annotations": False}
    options = [*written(tmp_path, fullnameOverride=name, metrics=metrics)]
    found = run("helm", "template", LONGEST, CHART, "--values", EVERYTHING, *options).stdout
    objects = [found for found in yaml.safe_load_all(found) if found]
    for given in objects:
        assert len(given["metadata"]["name"]) <= LIMITS.get(given["kind"], 253)
        assert not given["metadata"]["name"].endswith("-")
    pairs = [(given["kind"], given["metadata"]["name"]) for given in objects]
    assert len(pairs) == len(set(pairs))
    for selector in (given["spec"].get("selector") for given in objects if given["kind"] == "Service"):
        assert all(len(value) <= 63 for value in selector.values())
    if name == "short":
        assert ("CronJob", "short-retrain") in pairs


def test_two_long_names_that_begin_alike_stay_two(tmp_path: Path) -> None:
    def cron(name: str) -> str:
        options = written(tmp_path, fullnameOverride=name, metrics={"annotations": False})
        found = run("helm", "template", "a", CHART, "--values", EVERYTHING, *options).stdout
        return str(
            of_kind([manifest for manifest in yaml.safe_load_all(found) if manifest], "CronJob")["metadata"][
                "name"
            ]
        )

    assert cron("n" * 60 + "-a") != cron("n" * 60 + "-b")


@pytest.mark.parametrize("label", ["app", "app.kubernetes.io/name", "app.kubernetes.io/instance"])
def test_a_label_of_the_selector_is_refused(label: str, tmp_path: Path) -> None:
    said = rejected(*written(tmp_path, podLabels={label: "mine"}))
    assert f"podLabels: {label} is a label by which the Service finds its pods" in said


def test_other_labels_and_annotations_are_the_users(tmp_path: Path) -> None:
    options = written(
        tmp_path,
        podLabels={"app.kubernetes.io/version": "7", "sidecar.istio.io/inject": True},
        podAnnotations={"prometheus.io/port": 9999},
        metrics={"annotations": True},
    )
    text = rendered(*options)
    assert text.count("prometheus.io/port") == 1
    pod = of_kind(template(*options), "Deployment")["spec"]["template"]["metadata"]
    assert pod["annotations"]["prometheus.io/port"] == "9999"
    assert pod["labels"]["app.kubernetes.io/version"] == "7"
    assert pod["labels"]["sidecar.istio.io/inject"] == "true"


@pytest.mark.parametrize(
    ("pods", "budget", "allowed"),
    [
        (2, {"maxUnavailable": 0}, False),
        (2, {"maxUnavailable": "0%"}, False),
        (2, {"maxUnavailable": "1%"}, True),  # Kubernetes rounds up
        (1, {"maxUnavailable": 1}, True),
        (2, {"minAvailable": 2}, False),
        (2, {"minAvailable": "100%"}, False),
        (1, {"minAvailable": "50%"}, False),
        (2, {"minAvailable": "50%"}, True),
        (2, {"minAvailable": "51%"}, False),
        (3, {"minAvailable": "60%"}, True),
        (2, {"minAvailable": 0}, True),
        (0, {"minAvailable": 1}, True),  # there is nothing to drain
    ],
)
def test_a_budget_that_no_drain_passes_is_refused(
    pods: int, budget: dict[str, Any], allowed: bool, tmp_path: Path
) -> None:
    whole = {"minAvailable": None, "maxUnavailable": None} | budget
    options = written(tmp_path, replicaCount=pods, podDisruptionBudget=whole)
    if allowed:
        spec = of_kind(template(*options), "PodDisruptionBudget")["spec"]
        assert budget.items() <= spec.items()
    else:
        assert "no node could ever be drained" in rejected(*options)


@pytest.mark.parametrize("release", ["1st", "9"])
def test_a_name_that_no_service_can_have_is_a_sentence(release: str) -> None:
    result = run("helm", "template", release, CHART, check=False)
    assert result.returncode != 0
    assert "is no name of a Service, which begins with a letter" in result.stderr


def deployed(*options: str) -> dict[str, Any]:
    return dict(of_kind(template(*options), "Deployment")["spec"])


def ci(name: str) -> list[str]:
    return ["--values", str(CHART / "ci" / f"{name}.yaml")]


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "heart-disease-api:latest"),
        ({"image": {"registry": "r.example:5000"}}, "r.example:5000/heart-disease-api:latest"),
        ({"global": {"imageRegistry": "g.example/"}}, "g.example/heart-disease-api:latest"),
        (
            {"global": {"imageRegistry": "g.example"}, "image": {"registry": "r.example"}},
            "r.example/heart-disease-api:latest",
        ),
        ({"image": {"digest": DIGEST, "tag": "v1"}}, f"heart-disease-api@{DIGEST}"),
    ],
)
def test_an_image_by_its_parts(values: dict[str, Any], image: str, tmp_path: Path) -> None:
    objects = template(*written(tmp_path, **values))
    pods = [of_kind(objects, "Deployment")["spec"]["template"]["spec"], of_kind(objects, "Pod")["spec"]]
    assert {container["image"] for pod in pods for container in pod["containers"]} == {image}
    revision = "heart-disease-api/release-revision"
    annotations = of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert (revision in annotations) == image.endswith(":latest")


def test_every_pod_pulls_with_all_secrets_from_the_global_registry(tmp_path: Path) -> None:
    options = written(
        tmp_path,
        imagePullSecrets=[{"name": "a"}],
        metrics={"annotations": False},
        **{"global": {"imageRegistry": "g.example", "imagePullSecrets": ["b", {"name": "a"}]}},
    )
    objects = template("--values", str(EVERYTHING), *options)
    pods = [of_kind(objects, "Pod")["spec"]]
    pods += [manifest["spec"]["template"]["spec"] for manifest in objects if manifest["kind"] == "Deployment"]
    pods += [of_kind(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    assert len(pods) == 4
    for pod in pods:
        assert pod["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
        assert all(container["image"].startswith("g.example/") for container in pod["containers"])


def test_every_pod_keeps_to_the_nodes_that_its_image_is_for() -> None:
    arm = ["--set-string", r"nodeSelector.kubernetes\.io/arch=arm64"]
    objects = template("--values", str(EVERYTHING), *arm)
    pods = [of_kind(objects, "Pod")["spec"]]
    pods += [manifest["spec"]["template"]["spec"] for manifest in objects if manifest["kind"] == "Deployment"]
    pods += [of_kind(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    assert len(pods) == 4
    for pod in pods:
        assert pod["nodeSelector"] == {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
        assert pod["tolerations"] == [{"key": "models", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({}, "heart-disease-api"),
        ({"name": "mine"}, "mine"),
        ({"create": False}, "default"),
        ({"create": False, "name": "mine"}, "mine"),
    ],
)
def test_an_account_of_the_users(values: dict[str, Any], account: str, tmp_path: Path) -> None:
    objects = template(*written(tmp_path, serviceAccount=values | {"annotations": {"role": 7}}))
    assert of_kind(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account
    made = [manifest["metadata"] for manifest in objects if manifest["kind"] == "ServiceAccount"]
    assert [(metadata["name"], metadata["annotations"]) for metadata in made] == (
        [(account, {"role": "7"})] if values.get("create", True) else []
    )


def test_common_labels_and_annotations_are_on_every_object(tmp_path: Path) -> None:
    common = {"commonLabels": {"unit": 7}, "commonAnnotations": {"owner": "heart"}}
    options = written(tmp_path, **common, metrics={"annotations": False, "serviceMonitor": {"enabled": True}})
    objects = template("--values", str(EVERYTHING), *options)
    for found in objects:
        assert found["metadata"]["labels"]["unit"] == "7", found["kind"]
        if found["kind"] != "Pod":
            assert found["metadata"]["annotations"]["owner"] == "heart", found["kind"]
    for deployment in (manifest["spec"] for manifest in objects if manifest["kind"] == "Deployment"):
        assert deployment["template"]["metadata"]["labels"]["unit"] == "7"
        assert "unit" not in deployment["selector"]["matchLabels"]
    said = rejected(*written(tmp_path, commonLabels={"app.kubernetes.io/version": "2"}))
    assert "commonLabels: app.kubernetes.io/version is a label of the chart's own" in said


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("deploymentAnnotations", "Deployment"),
        ("service", "Service"),
        ("ingress", "Ingress"),
        ("httpRoute", "HTTPRoute"),
    ],
)
def test_annotations_of_one_object(key: str, kind: str, tmp_path: Path) -> None:
    more = {"enabled": True} if key in {"ingress", "httpRoute"} else {}
    if key == "httpRoute":
        more["parentRefs"] = [{"name": "public"}]  # type: ignore[assignment]
    annotations = {"a.example/x": 1}
    values = annotations if key.endswith("Annotations") else more | {"annotations": annotations}
    found = of_kind(template(*written(tmp_path, **{key: values})), kind)
    assert found["metadata"]["annotations"] == {"a.example/x": "1"}


def test_openshift_chooses_users_and_groups() -> None:
    pod = deployed(*ci("openshift"))["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    outcomes = deployed(
        *ci("openshift"),
        "--set",
        "feedback.enabled=true,replicaCount=1,feedback.keysSecret=k,feedback.tokenSecret=t",
    )
    assert not outcomes["template"]["spec"]["securityContext"].keys() & {"fsGroup", "runAsUser"}
    usual = deployed(
        "--set", "feedback.enabled=true,replicaCount=1,feedback.keysSecret=k,feedback.tokenSecret=t"
    )["template"]["spec"]["securityContext"]
    assert (usual["fsGroup"], usual["runAsUser"]) == (10001, 10001)


def test_a_large_user_id_stays_a_number(tmp_path: Path) -> None:
    options = written(tmp_path, podSecurityContext={"runAsUser": 1000660000})
    assert deployed(*options)["template"]["spec"]["securityContext"]["runAsUser"] == 1000660000


def test_a_meshs_values() -> None:
    objects = template(*ci("mesh"))
    policy = of_kind(objects, "NetworkPolicy")["spec"]
    peer, tester = policy["ingress"][0]["from"]
    labels = of_kind(objects, "Pod")["metadata"]["labels"]
    assert tester["podSelector"]["matchLabels"].items() <= labels.items()
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "istio-ingress"}
    assert policy["egress"][0]["ports"] == [{"port": 15012, "protocol": "TCP"}]
    (container,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"] == {
        "httpGet": {"path": "/startupz", "port": "http"},
        "periodSeconds": 1,
        "timeoutSeconds": 2,
        "failureThreshold": 120,
    }


def test_an_autoscaler_goes_by_own_metrics_alone(tmp_path: Path) -> None:
    target = {"type": "AverageValue", "averageValue": "50"}
    metric = {"type": "Pods", "pods": {"metric": {"name": "requests_per_second"}, "target": target}}
    scaling = {"enabled": True, "targetCPUUtilizationPercentage": None}
    objects = template(*written(tmp_path, autoscaling=scaling | {"metrics": [metric]}))
    assert of_kind(objects, "HorizontalPodAutoscaler")["spec"]["metrics"] == [metric]
    without = rejected(*written(tmp_path, autoscaling=scaling))
    assert "autoscaling needs targetCPUUtilizationPercentage or metrics" in without


def test_extras_of_the_pod_and_its_surroundings(tmp_path: Path) -> None:
    first = {"name": "first", "image": "busybox"}
    beside = first | {"name": "beside"}
    options = [*ci("own-extras"), *written(tmp_path, initContainers=[first], extraContainers=[beside])]
    objects = template(*options)
    spec = of_kind(objects, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    pod = spec["template"]["spec"]
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]
    assert pod["initContainers"] == [first]
    assert pod["containers"][1] == beside
    assert pod["volumes"][-1] == {"name": "certificates", "configMap": {"name": "certificates"}}
    assert pod["containers"][0]["volumeMounts"][-1]["mountPath"] == "/etc/ssl/own"
    scaler = of_kind(objects, "HorizontalPodAutoscaler")["spec"]
    assert [metric["resource"]["name"] for metric in scaler["metrics"]] == ["cpu", "memory"]
    assert scaler["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 600}}
    ingress = of_kind(objects, "Ingress")["spec"]
    paths = {
        rule["host"]: [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
        for rule in ingress["rules"]
    }
    assert paths == {
        "heart.example.org": [("/", "ImplementationSpecific")],
        "hearts.example.org": [("/v1", "Prefix"), ("/v2", "ImplementationSpecific")],
        "www.example.org": [("/", "ImplementationSpecific")],
    }
    assert [tls["secretName"] for tls in ingress["tls"]] == ["hearts-tls"]
