"""The chart without a release: what it rejects, what it renders, and that nothing drifts from it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.app import project_version
from tests.harness import CHART, PROJECT, run
from tools.render_k8s import render

ARTIFACT = f"runs:/{'0' * 32}/tables/rows.csv"


NO_URL = [
    "heart.example.org",
    "ftp://heart.example.org",
    "https://",
    "https://user:pw@heart.example.org",
    "https://heart.example.org/?x=1",
    "https://heart.example.org/{{ . }}",
    "https://heart.example.org/'",
    "https://heart.example.org x",
]


def rendered(*options: str) -> str:
    return run("helm", "template", "heart-disease-api", CHART, "--namespace", "default", *options).stdout


def template(*options: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(rendered(*options)) if found]


def rejected(*options: str) -> str:
    result = run("helm", "template", "heart-disease-api", CHART, *options, check=False)
    assert result.returncode != 0
    return result.stderr


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("replicas=3", "replicas"),
        ("image.tga=v1", "tga"),
        ("service.type=NodePorts", "service"),
        ("service.nodePort=99999", "nodePort"),
        ("model.threshold=1.5", "threshold"),
        ("model.version=1", "version"),
        ("server.logLevel=loud", "logLevel"),
        ("server.workers=0", "workers"),
        ("server.rootPath=api", "rootPath"),
        ("server.rootPath=/api/", "rootPath"),
        ("server.rootPath=/api/../b", "rootPath"),
        ("extraEnv[0].name=ROOT_PATH,extraEnv[0].value=/api", "has a value of its own in this chart"),
        ("server.trustedProxies[0]=proxy", "trustedProxies"),
        ("server.trustedProxies[0]=10.1.2.3/8", "10.1.2.3/8 is an address in a network"),
        ("model.name=iris\\,fraud,model.version=v1", "those of a single model"),
        ("model.name=iris\\,fraud,model.threshold=0.3", "those of a single model"),
        ("server.corsOrigins[0]=*", "corsOrigins"),
        ("server.corsOrigins[0]=https://app.example.org/", "corsOrigins"),
        ("console.enabled=maybe", "enabled"),
        ("extraEnv[0].name=CONSOLE,extraEnv[0].value=x", "has a value of its own in this chart"),
        ("podDisruptionBudget.minAvailable=1", "set minAvailable or maxUnavailable, and the other to null"),
        (
            "podDisruptionBudget.maxUnavailable=null",
            "set minAvailable or maxUnavailable, or enabled to false",
        ),
        (
            "podDisruptionBudget.minAvailable=2,podDisruptionBudget.maxUnavailable=null",
            "no node could ever be drained",
        ),
        (
            "autoscaling.enabled=true,autoscaling.maxReplicas=1",
            "must not be less than autoscaling.minReplicas",
        ),
        ("autoscaling.enabled=true,resources.requests.cpu=null", "needs resources.requests.cpu"),
        ("metrics.annotations=true,metrics.serviceMonitor.enabled=true", "would scrape every pod twice"),
        *((f"publicUrl={url}", "/publicUrl") for url in NO_URL),
        ("metrics.probe.enabled=true", "metrics.probe.enabled needs metrics.probe.prober"),
        ("metrics.probe.prober=http://blackbox:9115", "/metrics/probe/prober"),
        ("metrics.port=8000", "metrics.port: 8000 is the API's port; choose another"),
        ("metrics.port=80", "/metrics/port"),
        ("metrics.port=70000", "/metrics/port"),
        ("metrics.port=high", "/metrics/port"),
        ("metrics.from=null", "missing property 'from'"),
        ("metrics.from[0].app=prometheus", "/metrics/from/0"),
        ("extraEnv[0].name=METRICS_PORT,extraEnv[0].value=9091", "has a value of its own in this chart"),
        ("server.drainSeconds=30", "must be more than server.drainSeconds"),
        ("server.host=pod", "/server/host"),
        ("service.ipFamilyPolicy=DualStack", "/service/ipFamilyPolicy"),
        ("service.ipFamilies={IPv5}", "/service/ipFamilies/0"),
        ("service.ipFamilies={IPv6,IPv6}", "/service/ipFamilies"),
        ("server.keepAliveSeconds=0", "/server/keepAliveSeconds"),
        ("extraEnv[0].name=KEEP_ALIVE_SECONDS,extraEnv[0].value=5", "has a value of its own in this chart"),
        ("httpRoute.enabled=true", "needs httpRoute.parentRefs"),
        ("faults.allowed=true", "needs a server.environment other than production"),
        ("extraEnv[0].name=FAULT_ERROR_RATE,extraEnv[0].value=1", "FAULT_ERROR_RATE injects faults"),
        ("feedback.enabled=true", "SQLite is for one replica; set replicaCount=1"),
        ("feedback.enabled=true,replicaCount=1,autoscaling.enabled=true", "SQLite is for one replica"),
        ("feedback.storage.size=much", "size"),
        ("feedback.anonymous=maybe", "anonymous"),
        ("feedback.anonymous=true,feedback.tokenSecret=t", "anonymous takes outcomes from anybody"),
        ("extraEnv[0].name=FEEDBACK_TOKEN_FILE,extraEnv[0].value=t", "has a value of its own in this chart"),
        ("extraEnv[0].name=FEEDBACK_ANONYMOUS,extraEnv[0].value=1", "has a value of its own in this chart"),
        ("candidate.shadow=true", "shadow and canaryPercent need candidate.version"),
        ("candidate.canaryPercent=10", "shadow and canaryPercent need candidate.version"),
        ("candidate.version=v2,candidate.canaryPercent=101", "canaryPercent"),
        ("candidate.version=v2,model.name=iris\\,fraud", "model.name names several"),
        ("retrain.enabled=true", "retrain needs retrain.claim"),
        ("retrain.enabled=true,retrain.claim=c", "rows.csv needs retrain.rows"),
        (f"retrain.enabled=true,retrain.claim=c,retrain.file={ARTIFACT}", "needs retrain.mlflowTrackingUri"),
        ("retrain.mlflowTrackingUri=http://user:pw@mlflow:5000", "without a user and a password"),
        ("retrain.endpoint.enabled=true", "needs retrain.enabled"),
        ("extraEnv[0].name=SHADOW,extraEnv[0].value=1", "has a value of its own in this chart"),
        ("extraEnv[0].name=FEEDBACK_KEYS,extraEnv[0].value=k", "has a value of its own in this chart"),
        ("extraEnv[0].name=THRESHOLD,extraEnv[0].value=1", "has a value of its own in this chart"),
    ],
)
def test_invalid_values_are_rejected(setting: str, sentence: str) -> None:
    assert sentence in rejected("--set", setting)


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_value_switches_the_console(enabled: str) -> None:
    objects = template("--set", f"console.enabled={enabled}")
    (settings,) = [found["data"] for found in objects if "ENVIRONMENT" in found.get("data", {})]
    assert settings["CONSOLE"] == enabled


def test_subchart_keys_are_allowed() -> None:
    assert template("--set", "global.anything=1")


CI_VALUES = pytest.mark.parametrize(
    "values", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem
)
PROBE = "metrics.probe.enabled=true,metrics.probe.prober=blackbox:9115"


def score(manifests: str, name: str, folder: Path) -> None:
    """Let kube-score judge; the exemptions and their reasons are in tests/programs/kube-score.txt."""
    exempt = (PROJECT / "tests" / "programs" / "kube-score.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([a-z-]+)(?: \[(\w+)\])?: \S", exempt, flags=re.MULTILINE)
    checks = [check for check, only in lines if only in ("", name)]
    file = folder / "rendered.yaml"
    file.write_text(manifests, encoding="utf-8")
    run("kube-score", "score", "--exit-one-on-warning", f"--ignore-test={','.join(checks)}", file)


@CI_VALUES
def test_kube_score_finds_only_exempt_issues(values: Path, tmp_path: Path) -> None:
    score(rendered("--values", str(values), "--skip-tests"), values.stem, tmp_path)


def test_operator_kinds_are_rendered_where_asked_for() -> None:
    """Whether their API is present or not: then Kubernetes says so, which silence would not."""

    def kinds(*options: str) -> set[str]:
        return {found["kind"] for found in template(*options)}

    wanted = "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true"
    assert kinds("--set", wanted, "--set", PROBE) - kinds() == {"ServiceMonitor", "PrometheusRule", "Probe"}


@pytest.mark.parametrize("prefix", ["", "/teams/heart"])
def test_a_prefix_is_a_setting_and_the_path_of_each_way_in(prefix: str) -> None:
    values = (
        f"server.rootPath={prefix},ingress.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=a"
    )
    objects = {found["kind"]: found for found in template("--set", values)}
    assert objects["ConfigMap"]["data"].get("ROOT_PATH", "") == prefix
    (path,) = objects["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == (prefix or "/", "Prefix")
    (rule,) = objects["HTTPRoute"]["spec"]["rules"]
    found = [match["path"] for match in rule.get("matches", [])]
    assert found == ([{"type": "PathPrefix", "value": prefix}] if prefix else [])
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {container[kind]["httpGet"]["path"] for kind in container if kind.endswith("Probe")} == {
        "/livez", "/readyz", "/startupz",
    }  # fmt: skip


def test_a_service_has_the_families_that_are_set() -> None:
    def service(*options: str) -> dict[str, Any]:
        (found,) = [found["spec"] for found in template(*options) if found["kind"] == "Service"]
        return {name: found[name] for name in found if name.startswith("ipFamil")}

    both = "service.ipFamilyPolicy=RequireDualStack,service.ipFamilies={IPv6,IPv4}"
    assert service("--set", both) == {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    assert service("--set", "service.ipFamilyPolicy=PreferDualStack") == {"ipFamilyPolicy": "PreferDualStack"}
    assert service() == {}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  # of a pod
def test_the_host_is_a_setting(host: str) -> None:
    objects = template("--set-string", f"server.host={host}")
    (settings,) = [found["data"] for found in objects if found["kind"] == "ConfigMap"]
    assert settings["HOST"] == host


def test_proxies_and_origins_are_settings() -> None:
    values = "server.trustedProxies={10.244.0.0/16,192.0.2.7},server.corsOrigins={https://a.example}"
    (settings,) = [found["data"] for found in template("--set", values) if found["kind"] == "ConfigMap"]
    assert settings["TRUSTED_PROXIES"] == "10.244.0.0/16,192.0.2.7"
    assert settings["CORS_ORIGINS"] == "https://a.example"


def test_the_operator_probes_the_releases_service() -> None:
    objects = template("--set", f"{PROBE},fullnameOverride=risk,service.port=8080")
    (probe,) = [found["spec"] for found in objects if found["kind"] == "Probe"]
    (service,) = [found for found in objects if found["kind"] == "Service"]
    (port,) = service["spec"]["ports"]
    assert (service["metadata"]["name"], port["port"]) == ("risk", 8080)
    assert probe["targets"]["staticConfig"]["static"] == ["http://risk.default.svc:8080/readyz"]
    assert probe["prober"] == {"url": "blackbox:9115"}
    assert (probe["module"], probe["interval"]) == ("http_2xx", "10s")


INGRESS = {"enabled": True, "host": "heart.example.org"}
ROUTE = {
    "enabled": True,
    "parentRefs": [{"name": "public"}],
    "hostnames": ["*.example.org", "route.example.org"],
}


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"publicUrl": "https://a.example.org:8443/heart/"}, "https://a.example.org:8443/heart"),
        ({"publicUrl": "http://[2001:db8::1]:8000"}, "http://[2001:db8::1]:8000"),
        (
            {"publicUrl": "https://a.example.org", "ingress": INGRESS, "httpRoute": ROUTE},
            "https://a.example.org",
        ),
        ({"ingress": INGRESS, "httpRoute": ROUTE}, "http://heart.example.org"),
        ({"ingress": INGRESS | {"tlsSecretName": "heart-tls"}}, "https://heart.example.org"),
        (
            {"ingress": INGRESS | {"extraTls": [{"hosts": ["heart.example.org"], "secretName": "all"}]}},
            "https://heart.example.org",
        ),
        (
            {"ingress": INGRESS | {"extraTls": [{"hosts": ["x.example.org"], "secretName": "x"}]}},
            "http://heart.example.org",
        ),
        (
            {"ingress": INGRESS | {"host": "*.example.org"}, "httpRoute": ROUTE},
            "http://route.example.org",
        ),
        ({"ingress": INGRESS | {"host": "*.example.org"}}, None),
        ({"httpRoute": ROUTE}, "http://route.example.org"),
        (
            {"httpRoute": ROUTE | {"parentRefs": [{"name": "public", "port": 443}]}},
            "https://route.example.org",
        ),
        (
            {"httpRoute": ROUTE | {"parentRefs": [{"name": "public", "sectionName": "https-1"}]}},
            "https://route.example.org",
        ),
        ({"ingress": INGRESS, "server": {"rootPath": "/api"}}, "http://heart.example.org/api"),
        ({"httpRoute": ROUTE, "server": {"rootPath": "/api"}}, "http://route.example.org/api"),
        (
            {"publicUrl": "https://a.example.org/x", "server": {"rootPath": "/api"}},
            "https://a.example.org/x",
        ),
        ({"httpRoute": ROUTE | {"hostnames": []}}, None),
        ({"httpRoute": ROUTE | {"hostnames": ["*.example.org"]}}, None),
        ({"ingress": INGRESS | {"enabled": False}, "httpRoute": ROUTE | {"enabled": False}}, None),
    ],
)
@pytest.mark.parametrize("model", ["heart-disease", "my-own"])
def test_alerts_lead_to_their_runbooks(
    values: dict[str, Any], address: str | None, model: str, tmp_path: Path
) -> None:
    """By a link where the API has an address; by a port-forward elsewhere, never by a dead link."""
    release = {
        "fullnameOverride": "risk",
        "model": {"name": model},
        "service": {"port": 8080},
        "metrics": {"prometheusRule": {"enabled": True}},
    }
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(release | values), encoding="utf-8")
    (rule,) = [found for found in template("--values", str(file)) if found["kind"] == "PrometheusRule"]
    alerts = [alert for group in rule["spec"]["groups"] for alert in group["rules"] if "alert" in alert]
    assert len(alerts) > 20
    for alert in alerts:
        found = {name: text for name, text in alert["annotations"].items() if name.startswith("runbook")}
        page = f"/runbooks/{alert['alert']}"
        if address:
            assert found == {"runbook_url": f"{address}{page}"}
        else:
            forward = "kubectl port-forward -n default service/risk 8000:8080"
            assert found == {"runbook": f"{forward}, then http://127.0.0.1:8000{page}"}


def test_replicas_are_left_to_the_autoscaler() -> None:
    (deployment,) = [
        found for found in template("--set", "autoscaling.enabled=true") if found["kind"] == "Deployment"
    ]
    assert "replicas" not in deployment["spec"]


def test_selectors_carry_no_version_and_do_not_match_the_test_pod() -> None:
    objects = {found["kind"]: found for found in template()}
    selector = objects["Service"]["spec"]["selector"]
    assert set(selector) == {"app", "app.kubernetes.io/name", "app.kubernetes.io/instance"}
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == selector
    assert not selector.items() <= objects["Pod"]["metadata"]["labels"].items()


OUTCOMES = "feedback.enabled=true,replicaCount=1,feedback.keysSecret=keys"


@pytest.mark.parametrize(
    ("values", "secret"),
    [
        (f"{OUTCOMES},feedback.tokenSecret=mine", "mine"),
        (f"{OUTCOMES},feedback.tokenSecret=mine,server.environment=staging", "mine"),
        (f"{OUTCOMES},feedback.anonymous=true", None),
        ("feedback.tokenSecret=mine", None),
    ],
)
def test_the_outcomes_token_is_a_file_of_a_secret(values: str, secret: str | None) -> None:
    found = template("--set", values)
    (deployment,) = [manifest for manifest in found if manifest["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    mounted = [volume["secret"]["secretName"] for volume in pod["volumes"] if volume["name"] == "token"]
    assert mounted == ([secret] if secret else [])
    (settings,) = [manifest["data"] for manifest in found if manifest["kind"] == "ConfigMap"]
    assert settings.get("FEEDBACK_TOKEN_FILE") == ("/token/token" if secret else None)
    assert ("FEEDBACK_ANONYMOUS" in settings) == ("anonymous" in values)
    (container,) = pod["containers"]
    assert "env" not in container
    assert not [manifest for manifest in found if manifest["kind"] == "Secret"]


RETRAINED = "retrain.enabled=true,retrain.claim=c,retrain.rows.emptyDir.medium=Memory"


@pytest.mark.parametrize(
    ("values", "value", "name", "item"),
    [
        (
            "feedback.enabled=true,replicaCount=1,feedback.anonymous=true",
            "feedback.keysSecret",
            "feedback-keys",
            "$(date -u +%F)",
        ),
        (OUTCOMES, "feedback.tokenSecret", "feedback-token", "token"),
        ("candidate.version=v2", "candidate.saltSecret", "canary-salt", "salt"),
        (f"{RETRAINED},retrain.endpoint.enabled=true", "retrain.endpoint.keySecret", "retrain-key", "key"),
    ],
)
def test_a_secret_that_would_be_another_at_each_rendering_must_be_named(
    values: str, value: str, name: str, item: str
) -> None:
    said = rejected("--set", values, "--namespace", "heart")
    assert f"{value}: rendered without the cluster the chart would make another Secret each time" in said
    make = f"kubectl create secret generic heart-disease-api-{name} --namespace heart --from-literal={item}="
    assert make in said
    options = ["--set", f"{values},{value}=mine"]
    assert rendered(*options) == rendered(*options)


def test_the_notes_say_how_to_reach_the_api_and_read_the_token(tmp_path: Path) -> None:
    """Helm shows notes at installation; here they are rendered as a document beside the others."""
    chart = Path(shutil.copytree(CHART, tmp_path / "chart"))
    text = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    shown = (
        f'{{{{ define "notes" }}}}{text}{{{{ end }}}}\nkind: Notes\ntext: {{{{ include "notes" . | quote }}}}'
    )
    (chart / "templates" / "notes.yaml").write_text(shown, encoding="utf-8")

    def notes(values: str) -> str:
        only = ["--show-only", "templates/notes.yaml", "--set", values]
        output = run("helm", "template", "heart-disease-api", chart, *only).stdout
        return str(yaml.safe_load(output)["text"])

    assert "kubectl get secret mine --namespace" in notes(f"{OUTCOMES},feedback.tokenSecret=mine")
    assert "Anybody who reaches the service" in notes(f"{OUTCOMES},feedback.anonymous=true")
    assert "outcomes" not in notes("replicaCount=2")
    assert "\n  https://heart.example.org/docs\n" in notes("publicUrl=https://heart.example.org/")


@pytest.mark.parametrize(
    ("uri", "port"), [("http://mlflow:5000", 5000), ("https://mlflow.example.org/x", 443)]
)
def test_retraining_reaches_nothing_but_mlflow(uri: str, port: int) -> None:
    values = f"retrain.enabled=true,retrain.claim=c,retrain.file={ARTIFACT},retrain.mlflowTrackingUri={uri}"
    found = [
        manifest
        for manifest in template("--set", values)
        if manifest["metadata"]["name"] == "heart-disease-api-retrain"
    ]
    objects = {manifest["kind"]: manifest["spec"] for manifest in found}
    (container,) = objects["CronJob"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert f"--data={ARTIFACT}" in container["args"]
    assert {"name": "MLFLOW_TRACKING_URI", "value": uri} in container["env"]
    assert "rows" not in [mount["name"] for mount in container["volumeMounts"]]
    (egress,) = objects["NetworkPolicy"]["egress"]
    assert [rule["port"] for rule in egress["ports"]] == [port, 53, 53]


def test_the_endpoint_reaches_the_api_server_by_the_ports_that_clusters_have() -> None:
    """16443 is that of microk8s: a policy sees the port behind the Service."""
    (egress,) = [
        manifest["spec"]["egress"]
        for manifest in template("--values", str(CHART / "ci" / "everything.yaml"))
        if manifest["kind"] == "NetworkPolicy" and manifest["metadata"]["name"].endswith("-retrain-endpoint")
    ]
    assert [rule["port"] for rule in egress[0]["ports"]] == [443, 6443, 8443, 16443]


def salt_of(*values: str) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any] | None]:
    """Return the Secrets of a chart's salt, its settings, and the volume that has it."""
    objects = template(*(part for value in values for part in ("--set", value)))
    secrets = [manifest for manifest in objects if manifest["kind"] == "Secret"]
    (settings,) = [manifest["data"] for manifest in objects if manifest["kind"] == "ConfigMap"]
    (pod,) = [
        manifest["spec"]["template"]["spec"] for manifest in objects if manifest["kind"] == "Deployment"
    ]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    if "canary" in volumes:
        # a pod that is not root reads it by its group
        assert (volumes["canary"]["secret"]["defaultMode"], pod["securityContext"]["fsGroup"]) == (
            0o440,
            10001,
        )
        assert settings["CANARY_SALT_FILE"] == f"{mounts['canary']}/salt"
    return secrets, settings, volumes.get("canary", {}).get("secret")


def test_a_candidate_has_the_installations_salt() -> None:
    assert salt_of()[0] == []
    assert salt_of()[2] is None
    assert "CANARY_SALT_FILE" not in salt_of()[1]
    named, _, mounted = salt_of("candidate.version=v2", "candidate.saltSecret=canary")
    assert named == []
    assert mounted
    assert (mounted["secretName"], mounted["items"]) == ("canary", [{"key": "salt", "path": "salt"}])
    assert "CANARY_SALT_FILE has a value of its own" in rejected("--set", "extraEnv[0].name=CANARY_SALT_FILE")


def test_a_changed_setting_rolls_the_pods_and_a_fixed_tag_does_not_roll_by_itself() -> None:
    def annotations(*options: str) -> dict[str, str]:
        (deployment,) = [found for found in template(*options) if found["kind"] == "Deployment"]
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations()["checksum/config"] != annotations("--set", "model.threshold=0.3")["checksum/config"]
    assert "heart-disease-api/release-revision" in annotations()
    assert "heart-disease-api/release-revision" not in annotations("--set", "image.tag=0.1.0")


def test_every_value_has_a_comment_and_is_in_the_schema() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    kubernetes = "resources|podSecurityContext|securityContext|probes|strategy|topologySpreadConstraints"
    lines = re.sub(rf"(?m)^({kubernetes}):\n(  .*\n)+", "", text).splitlines()  # its own keys
    for number, line in enumerate(lines):
        if re.match(r"\s*[A-Za-z]+: \S", line):
            assert lines[number - 1].lstrip().startswith("#"), line
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(values) | {"enabled"}


def test_plain_manifests_are_the_chart_with_default_values() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "k8s").glob("*.yaml")}
    assert committed == render()


def test_the_chart_has_the_projects_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (project_version(), project_version())
