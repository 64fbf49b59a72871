"""Kubernetes accepts what the chart renders; what it would not accept, the chart rejects by a sentence."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import CHART, run
from tests.programs.dry_runs import RESTRICTED, DryRuns
from tests.programs.random_values import SCHEMA, release_of, values_of
from tests.programs.test_chart import CI_VALUES, rejected, rendered, template
from tests.programs.test_chart_values import of_kind, written

SEEDS = 60
SENTENCE = re.compile(
    r"values don't meet the specifications of the schema|"
    r"Error: execution error at \(heart-disease-api/templates/[\w/-]+\.(?:yaml|tpl):\d+:\d+\): \S"
)
OWN_SECURITY = ("podSecurityContext", "securityContext", "extraVolumes", "initContainers", "extraContainers")


@pytest.fixture(scope="module")
def api(dry_runs: DryRuns) -> DryRuns:
    restricted = {"name": "restricted", "labels": RESTRICTED}
    dry_runs.create({"apiVersion": "v1", "kind": "Namespace", "metadata": restricted})
    return dry_runs


def namespace_of(values: dict[str, Any]) -> str:
    """Return where pods must be admitted: where they are restricted, unless their security is the user's."""
    own = any(name in values for name in OWN_SECURITY) or "hostPath" in str(values.get("retrain"))
    return "default" if own else "restricted"


@CI_VALUES
def test_kubernetes_accepts_every_ci_values_file_and_its_restricted_pods(values: Path, api: DryRuns) -> None:
    assert api.refusals(rendered("--values", str(values)), "restricted") == []


def test_random_values_are_accepted_by_kubernetes_or_rejected_by_a_sentence(
    api: DryRuns, tmp_path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    file = tmp_path / "values.yaml"
    for seed in range(SEEDS):
        values = values_of(seed)
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        result = run("helm", "template", release_of(seed), CHART, "--values", file, check=False)
        if result.returncode:
            assert SENTENCE.search(result.stderr), f"{seed}: {result.stderr}\n{values}"
        else:
            assert api.refusals(result.stdout, namespace_of(values)) == [], f"{seed}: {values}"
        outcomes["rejected" if result.returncode else "accepted"] += 1
    assert min(outcomes["rejected"], outcomes["accepted"]) >= SEEDS // 4, outcomes


def test_what_kubernetes_rejects_is_seen(api: DryRuns) -> None:
    """Of an object, of the pods that it makes, and by the restricted standard."""
    text = rendered()
    (refused,) = api.refusals(text.replace('type: "NodePort"', 'type: "NodePorts"'), "restricted")
    assert 'spec.type: Unsupported value: "NodePorts"' in refused
    refused, of_pod = api.refusals(text.replace("containerPort: 8000", "containerPort: 80000"), "restricted")
    assert "must be between 1 and 65535" in refused
    assert "must be between 1 and 65535" in of_pod
    assert 'violates PodSecurity "restricted' in " ".join(
        api.refusals(text.replace("runAsNonRoot: true", "runAsNonRoot: false"), "restricted")
    )


TIGHT = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
OWN = {"name": "own", "image": "own"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"resources": {"requests": {"memory": "1Gi"}}},
            "resources.requests.memory: 1Gi is more than its limit, 256Mi: set resources.limits.memory too",
        ),
        ({"retrain": {"resources": {"requests": {"memory": 4e9}}}}, "is more than its limit, 2Gi"),
        (
            {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}},
            "2 is more than its limit, 1500m",
        ),
        ({"resources": {"requests": {"memory": "lots"}}}, "/resources/requests/memory"),
        ({"resources": {"limit": {"memory": "1Gi"}}}, "additional properties 'limit' not allowed"),
        ({"service": {"ipFamilies": ["IPv4", "IPv6"]}}, "two need service.ipFamilyPolicy"),
        ({"strategy": TIGHT}, "no pod could ever be replaced"),
        ({"securityContext": {"privileged": True}}, "privileged needs allowPrivilegeEscalation=true"),
        ({"securityContext": {"readOnlyRootFileSystem": True}}, "'readOnlyRootFileSystem' not allowed"),
        ({"podSecurityContext": {"runAsUser": "1000"}}, "/podSecurityContext/runAsUser"),
        ({"extraEnv": [{"name": "A", "value": 1}, {"name": "A", "value": 2}]}, "extraEnv: A is there twice"),
        ({"extraEnv": [{"name": "A", "value": 1, "valueFrom": {}}]}, "/extraEnv/0"),
        ({"extraContainers": [OWN | {"name": "api"}]}, "api is the name of another container"),
        ({"initContainers": [OWN], "extraContainers": [OWN]}, "own is the name of another container"),
        ({"extraContainers": [{"name": "own"}]}, "missing property 'image'"),
        ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "tmp is the name of another volume"),
        ({"extraVolumeMounts": [{"name": "own", "mountPath": "/own"}]}, "own is no volume"),
        ({"extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}, "has another mount"),  # noqa: S108
        ({"topologySpreadConstraints": [SPREAD, SPREAD]}, "zone DoNotSchedule is there twice"),
        (
            {"topologySpreadConstraints": [SPREAD | {"matchLabelKeys": ["app"]}]},
            "the label app is in matchLabelKeys and in the labelSelector",
        ),
        (
            {"networkPolicy": {"extraEgress": [{"ports": [{"port": 9000, "endPort": 8000}]}]}},
            "endPort 8000 needs a port",
        ),
        (
            {"networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}},
            "/from/0/ipBlock/cidr",
        ),
        ({"networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}}, "is an address in a network"),
        ({"metrics": {"prometheusRule": {"rules": "groups: ["}}}, "rules has no list of groups"),
        ({"metrics": {"prometheusRule": {"rules": "- a"}}}, "rules has no list of groups"),
        ({"podLabels": {"team": "Köln"}}, "/podLabels/team"),
        ({"podAnnotations": {"a b": "c"}}, "'a b' does not match pattern"),
        ({"nodeSelector": {"a": -1}}, "/nodeSelector/a"),
        ({"ingress": {"tlsSecretName": "Heart"}}, "/ingress/tlsSecretName"),
        (
            {"ingress": {"extraHosts": [{"host": "a.example", "paths": [{"path": "/a/../b"}]}]}},
            "/0/path",
        ),
        ({"feedback": {"storage": {"size": "0Gi"}}}, "/feedback/storage/size"),
        ({"podDisruptionBudget": {"maxUnavailable": "101%"}}, "/podDisruptionBudget/maxUnavailable"),
        ({"retrain": {"schedule": "61 * * * *"}}, "/retrain/schedule"),
        ({"retrain": {"rows": {"claim": "rows"}}}, "/retrain/rows"),
        ({"retrain": {"mlflowTrackingUri": "http://mlflow:99999"}}, "/retrain/mlflowTrackingUri"),
        ({"console": {"prometheusUrl": "http://prometheus:99999"}}, "/console/prometheusUrl"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "/tolerations/0"),
        ({"probes": {"liveness": {"successThreshold": 2}}}, "/probes/liveness/successThreshold"),
        ({"autoscaling": {"behavior": {"scaleDown": {"policies": []}}}}, "/autoscaling/behavior/scaleDown"),
        ({"image": {"tag": "a b"}}, "/image/tag"),
    ],
)
def test_what_kubernetes_would_reject_is_a_sentence(
    values: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    assert sentence in rejected(*written(tmp_path, **values))


@pytest.mark.parametrize(
    "values",
    [
        {"strategy": {"type": "Recreate"}},
        {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi", "nvidia.com/gpu": 1}}},
        {"topologySpreadConstraints": [SPREAD | {"labelSelector": {}}]},
        {"networkPolicy": {"from": [{"ipBlock": {"cidr": "2001:db8::1:0/112"}}, {"podSelector": {}}]}},
        {
            "networkPolicy": {
                "from": [{"ipBlock": {"cidr": "192.168.4.0/22"}}, {"ipBlock": {"cidr": "1.2.3.4/32"}}]
            }
        },
    ],
)
def test_what_people_write_is_accepted(values: dict[str, Any], api: DryRuns, tmp_path: Path) -> None:
    assert api.refusals(rendered(*written(tmp_path, **values)), "restricted") == []


def test_recreate_replaces_the_whole_strategy(tmp_path: Path) -> None:
    """The default's rollingUpdate would stay beside it, which Kubernetes rejects."""
    objects = template(*written(tmp_path, strategy={"type": "Recreate"}))
    assert of_kind(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def missing(schema: dict[str, Any], defaults: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield values that may be missing and have a default, of tables that say what they require."""
    for name, member in schema.get("properties", {}).items() if "required" in schema else ():
        default = defaults.get(name)
        nullable = {"type": "null"} in member.get("oneOf", ())
        if name not in schema["required"] and not nullable and default not in (None, "", [], {}):
            yield path + name
        if isinstance(default, dict):
            yield from missing(member, default, f"{path}{name}.")


def emptied(schema: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return null for every value that is empty by default, in the tables that the chart has."""
    found: dict[str, Any] = {}
    for name, member in schema.get("properties", {}).items():
        if defaults.get(name) in ("", [], {}):
            found[name] = None
        elif isinstance(defaults.get(name), dict):
            found[name] = emptied(member, defaults[name])
    return found


def test_null_is_empty_or_missing_and_not_an_error_of_a_template(tmp_path: Path) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert list(missing(SCHEMA, defaults)) == ["global"]
    assert "missing property 'server'" in rejected(*written(tmp_path, server=None))
    assert "missing property 'port'" in rejected(*written(tmp_path, service={"port": None}))
    nothing = emptied(SCHEMA, defaults)
    assert nothing["affinity"] is nothing["model"]["mlflow"]["trackingUri"] is None
    assert rendered(*written(tmp_path, **nothing)) == rendered()
