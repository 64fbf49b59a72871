"""The life of a release as the API server sees it: applied, upgraded, rolled back, removed, beside others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api_server import ApiServer
from tests.harness import CHART, PROJECT, run

OLD_CHART = PROJECT / "tests" / "charts" / "heart-disease-api-328aab8.tgz"
"""Of before the first release: `git archive 328aab8 helm-charts/heart-disease-api`, packaged."""

RETRAINED = "retrain.enabled=true,retrain.claim=c,retrain.rows.emptyDir.medium=Memory"
ENDPOINT = f"service.nodePort=null,{RETRAINED},retrain.endpoint.enabled=true"
OUTCOMES = "feedback.enabled=true,replicaCount=1,candidate.version=v2,service.nodePort=null"


@pytest.fixture
def namespace(cluster: ApiServer, request: pytest.FixtureRequest) -> str:
    name = f"test-{request.session.items.index(request.node)}"
    cluster.kubectl("create", "namespace", name)
    return name


def stored(cluster: ApiServer, file: Path) -> dict[str, dict[str, Any]]:
    """Return the objects of a file as the API server has them, whose generation counts their changes."""
    found = json.loads(cluster.kubectl("get", f"--filename={file}", "--output=json").stdout)
    for manifest in found["items"]:
        del manifest["metadata"]["resourceVersion"]  # of a claim it changes once, and nothing else
    return {key(manifest): manifest for manifest in found["items"]}


def key(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    return f"{metadata.get('namespace', '')} {manifest['kind']} {metadata['name']}"


def secrets(cluster: ApiServer, namespace: str) -> dict[str, Any]:
    """Return the content of a namespace's Secrets, without those in which Helm keeps its releases."""
    found = json.loads(cluster.kubectl("get", "secrets", f"--namespace={namespace}", "--output=json").stdout)
    return {
        manifest["metadata"]["name"]: manifest["data"]
        for manifest in found["items"]
        if manifest["type"] == "Opaque"
    }


def everything(cluster: ApiServer, namespace: str) -> set[str]:
    """Return what there is in a namespace, but for what Kubernetes puts into each."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").stdout.split()
    asked = ",".join(kind for kind in kinds if not kind.startswith("events"))
    found = cluster.kubectl("get", asked, f"--namespace={namespace}", "--output=name").stdout.split()
    return set(found)


def test_what_is_rendered_is_applied_once(cluster: ApiServer, tmp_path: Path) -> None:
    """Each file of ci/ is rendered without the cluster, twice, as Argo CD does, and applied, twice."""
    rendered = []
    for values in sorted((CHART / "ci").glob("*.yaml")):
        name = f"ci-{values.stem}"
        cluster.kubectl("create", "namespace", name)
        options = [f"--namespace={name}", f"--values={values}", "--set=service.nodePort=null"]
        first, again = (cluster.helm("template", "heart", str(CHART), *options).stdout for _ in range(2))
        assert first == again
        rendered.append(first)
    file = tmp_path / "rendered.yaml"
    file.write_text("\n---\n".join(rendered), encoding="utf-8")
    applied = []
    for _ in range(2):
        cluster.kubectl("apply", "--server-side", f"--filename={file}")
        applied.append(stored(cluster, file))
    assert [name for name in applied[0] if applied[0][name] != applied[1][name]] == []
    assert cluster.kubectl("diff", "--server-side", f"--filename={file}").stdout == ""


def test_argo_cd_has_no_hook_to_run() -> None:
    """It knows Helm's hooks but for `test`, which it leaves out; no part of a release is one."""
    for values in (CHART / "ci").glob("*.yaml"):
        rendered = run("helm", "template", "heart", CHART, "--values", values).stdout
        hooks = [
            manifest["metadata"]["annotations"]["helm.sh/hook"]
            for manifest in yaml.safe_load_all(rendered)
            if manifest and "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})
        ]
        assert hooks == ["test"]


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_kustomize_inflates_the_chart(helm: str, tmp_path: Path) -> None:
    chart = {
        "name": CHART.name,
        "releaseName": "heart",
        "namespace": "hearts",
        "skipTests": True,
        "valuesFile": "values.yaml",
    }
    kustomization = {"helmGlobals": {"chartHome": str(CHART.parent)}, "helmCharts": [chart]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
    values = (CHART / "ci" / "everything.yaml").read_text(encoding="utf-8")
    (tmp_path / "values.yaml").write_text(values, encoding="utf-8")
    command = ["kubectl", "kustomize", "--enable-helm", f"--helm-command={helm}"]
    inflated = run(*command, "--load-restrictor=LoadRestrictionsNone", tmp_path).stdout
    options = ["--namespace=hearts", "--skip-tests", "--values", str(tmp_path / "values.yaml")]
    rendered = run("helm", "template", "heart", CHART, *options).stdout

    def objects(text: str) -> dict[str, dict[str, Any]]:
        return {key(manifest): manifest for manifest in yaml.safe_load_all(text) if manifest}

    assert objects(inflated) == objects(rendered)


@pytest.mark.parametrize(
    ("values", "changed"),
    [("image.tag=0.1.0", set()), ("image.tag=latest", {"generation", "heart-disease-api/release-revision"})],
)
def test_an_unchanged_upgrade_changes_nothing(
    cluster: ApiServer, namespace: str, values: str, changed: set[str], tmp_path: Path
) -> None:
    """But the revision, with a tag that does not tell one image from another."""
    options = [f"--namespace={namespace}", f"--set={OUTCOMES},{values}"]
    cluster.helm("install", "heart", str(CHART), *options)
    file = tmp_path / "before.yaml"
    file.write_text(cluster.helm("get", "manifest", "heart", options[0]).stdout, encoding="utf-8")
    cluster.helm("upgrade", "heart", str(CHART), *options)
    lines = cluster.kubectl("diff", f"--filename={file}", check=False).stdout.splitlines()
    different = [line[1:].partition(":")[0].strip() for line in lines if re.match(r"[-+](?![-+])", line)]
    assert set(different) == changed


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_an_upgrade_from_an_earlier_chart_keeps_its_secrets(
    cluster: ApiServer, namespace: str, helm: str
) -> None:
    where = f"--namespace={namespace}"
    cluster.run(helm, "install", "heart", str(OLD_CHART), where, f"--set={OUTCOMES},{ENDPOINT}")
    keys = secrets(cluster, namespace)
    assert keys.keys() == {f"heart-heart-disease-api-{name}" for name in ("feedback-keys", "retrain-key")}
    stale = cluster.run(helm, "upgrade", "heart", str(CHART), where, "--reuse-values", check=False)
    assert "missing property" in stale.stderr  # the earlier chart's defaults replace this one's
    cluster.run(helm, "upgrade", "heart", str(CHART), where, "--reset-then-reuse-values")
    after = secrets(cluster, namespace)
    assert keys.items() <= after.items()
    assert len(after) == 4
    cluster.run(helm, "rollback", "heart", where)
    assert secrets(cluster, namespace) == after
    cluster.run(helm, "upgrade", "heart", str(CHART), where, "--reset-then-reuse-values")
    assert secrets(cluster, namespace) == after


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_what_stays_is_what_the_notes_name(cluster: ApiServer, namespace: str, helm: str) -> None:
    where = f"--namespace={namespace}"
    values = f"--set={OUTCOMES},{ENDPOINT}"
    before = everything(cluster, namespace)
    cluster.run(helm, "install", "heart", str(CHART), where, values)
    kept = secrets(cluster, namespace)
    notes = cluster.run(helm, "get", "notes", "heart", where).stdout
    cluster.run(helm, "uninstall", "heart", where)
    (command,) = [line.split() for line in notes.splitlines() if "kubectl delete" in line]
    assert command[:4] == ["kubectl", "delete", "--namespace", namespace]
    assert everything(cluster, namespace) - before == set(command[4:])
    policies = cluster.kubectl("get", "validatingadmissionpolicies", "--output=name").stdout
    assert f"{namespace}." not in policies

    cluster.run(helm, "install", "heart", str(CHART), where, values)
    again = secrets(cluster, namespace)
    assert {name: kept[name] for name in kept if "retrain" not in name}.items() <= again.items()
    cluster.run(helm, "uninstall", "heart", where)
    cluster.kubectl(*command[1:], "--wait=false")
    assert {found for found in everything(cluster, namespace) - before if "claim" not in found} == set()


def test_no_two_releases_share_an_object(cluster: ApiServer) -> None:
    """Neither in one namespace nor in two, however the parts of their names are cut."""
    releases = [("a", "ward"), ("b", "ward"), ("a", "b"), ("c", "ward-a"), ("a-c", "ward")]
    for name in {namespace for _, namespace in releases}:
        cluster.kubectl("create", "namespace", name)
    for release, namespace in releases:
        cluster.helm("install", release, str(CHART), f"--namespace={namespace}", f"--set={ENDPOINT}")
    policies = cluster.kubectl("get", "validatingadmissionpolicies", "--output=name").stdout.split()
    assert len([policy for policy in policies if "retrain-endpoint" in policy]) >= len(releases)


def test_a_second_release_needs_a_node_port_of_its_own(cluster: ApiServer, namespace: str) -> None:
    """Only the cluster knows which are taken, and says so; what has failed is then upgraded."""
    where = f"--namespace={namespace}"
    cluster.helm("install", "first", str(CHART), where, "--set=service.nodePort=30099")
    second = ["upgrade", "--install", "second", str(CHART), where]
    refused = cluster.helm(*second, "--set=service.nodePort=30099", check=False)
    assert "nodePort: Invalid value: 30099: provided port is already allocated" in refused.stderr
    cluster.helm(*second, "--set=service.nodePort=null")


@pytest.mark.parametrize("same", ["release", "alias"])
def test_selectors_are_apart(same: str, tmp_path: Path) -> None:
    """Of two releases in a namespace, and of two aliases in one release of an umbrella chart."""
    values: dict[str, Any] = {
        "retrain": {
            "enabled": True,
            "claim": "c",
            "rows": {"configMap": {"name": "rows"}},
            "endpoint": {"enabled": True, "keySecret": "key"},
        },
        "metrics": {"port": 9091, "serviceMonitor": {"enabled": True}},
    }
    chart = {"apiVersion": "v2", "name": "hospital", "version": "1.0.0"}
    ours = {"name": CHART.name, "version": ">=0"}
    aliases = ["api"] if same == "alias" else ["ward", "clinic"]
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / CHART.name).symlink_to(CHART)
    dependencies = [ours | {"alias": alias} for alias in aliases]
    (tmp_path / "Chart.yaml").write_text(json.dumps(chart | {"dependencies": dependencies}), encoding="utf-8")
    (tmp_path / "values.yaml").write_text(json.dumps(dict.fromkeys(aliases, values)), encoding="utf-8")
    releases = ["one"] if same == "release" else ["one", "two"]
    objects = [
        manifest
        for release in releases
        for manifest in yaml.safe_load_all(run("helm", "template", release, tmp_path, "--skip-tests").stdout)
        if manifest
    ]
    labels = [*pod_labels(objects), *(manifest["metadata"]["labels"] for manifest in objects)]
    selected: dict[str, set[int]] = {}
    for manifest in objects:
        if selector := selector_of(manifest):
            found = {place for place, given in enumerate(labels) if selector.items() <= given.items()}
            assert found, manifest
            owner = "-".join(manifest["metadata"]["name"].split("-")[:2])
            selected[owner] = selected.get(owner, set()) | found
    first, second = selected.values()
    assert not first & second


def pod_labels(objects: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for manifest in objects:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield spec["template"]["metadata"]["labels"]


def selector_of(manifest: dict[str, Any]) -> dict[str, str]:
    spec = manifest.get("spec", {})
    selector = spec.get("podSelector") or spec.get("selector") or {}
    found: dict[str, str] = selector.get("matchLabels", selector)
    return found
