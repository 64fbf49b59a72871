"""The scripts' arguments: checked before use, never run, and no secret is passed on as one."""

import base64
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.harness import PROJECT
from tests.stand_ins import MONITORING, SCRIPTS, StandIns, say

DEPLOY = SCRIPTS / "deploy.sh"
CLEANUP = SCRIPTS / "cleanup.sh"
DEMO = SCRIPTS / "alert-demo.sh"
DEPLOY_MONITORING = MONITORING / "deploy-monitoring.sh"
CLEANUP_MONITORING = MONITORING / "cleanup-monitoring.sh"
TEST_METRICS = MONITORING / "test-metrics.sh"
UP = PROJECT / "compose" / "up.sh"

RENDERED = ["  name: prometheus-config-a", "  name: prometheus-rules-b", "  name: alertmanager-config-c"]
RENDERED += ["image: prom/prometheus:v3", "image: prom/alertmanager:v0"]
ANSWERS = {
    "kubectl kustomize *": f'cat "$2/kustomization.yaml" && {say(*RENDERED)}',
    "kubectl *get pod monitoring-check*": say("Succeeded"),
    "kubectl *get deployments*": say("prometheus-config-a"),
    "kubectl *get configmaps*": say("prometheus-config-a prometheus-config-old"),
    "curl */models": say('[{"name":"a","example":{"x":1,"y":"a b"},"evaluation":{}},{"example":{"z":2}}]'),
    "kubectl get nodes*": say("192.0.2.1"),
    "kubectl get service *": say("heart-disease-api:30080"),
    "kubectl config current-context": say("elsewhere"),
    "docker compose * config --services": say("app", "prometheus"),
}

NO_NAMESPACE = (
    *(
        "x; touch pwned; echo/e #",
        "$(touch pwned)",
        "`touch pwned`",
        "x\ntouch pwned",
        'x", y: "z',
        "x&y",
        "x y",
    ),
    *("../kube-system", "x/y", "UPPER", "with_underscore", "dot.ted", "ends-", "ä", "a" * 64, ""),
    *("-x", "--dry-run", "-"),
)
NO_NUMBER = (
    "1;touch pwned",
    "$(touch pwned)",
    "a[$(touch pwned)]",
    "08",
    "1e3",
    "-1",
    "99999999999999999999",
    "",
)
NO_URL = (
    'http://127.0.0.1:9"\noutput = "pwned',
    'http://127.0.0.1:9\\"\\noutput = \\"pwned',
    *(
        "http://user:hunter2@127.0.0.1:9",
        "http://127.0.0.1:70000",
        "http://127.0.0.1:0",
        "file:///etc/passwd",
    ),
    *("http://", "http://a b", "http://a/?x={1,2}", "http://[::1]/[1-9]", "--config=x", ""),
)
NO_REGISTRY = (
    *("https://registry.example.org", "registry.example.org/", "registry.example.org:70000", "r.example:0"),
    *("user:hunter2@registry.example.org", "registry.example.org/Team", "registry.example.org//x", "a b"),
    *(
        "registry.example.org/team/heart:v1",
        "r/x;touch pwned",
        "r/$(touch pwned)",
        "r/x,image.tag=y",
        "",
        "-x",
    ),
    *("registry.example.org\nx", "r:5000:5000", "/team"),
)
REFUSED = [
    *((script, "--namespace", NO_NAMESPACE) for script in (DEPLOY, CLEANUP, DEPLOY_MONITORING)),
    *((script, "--namespace", NO_NAMESPACE) for script in (CLEANUP_MONITORING, TEST_METRICS)),
    *((TEST_METRICS, option, NO_NUMBER) for option in ("--requests", "--concurrency", "--errors")),
    (TEST_METRICS, "--duration", (*NO_NUMBER, "0")),
    (
        DEPLOY,
        "--model",
        ("../iris", "Iris", "x;touch pwned", "$(touch pwned)", "models:/iris/1", "nowhere", ""),
    ),
    (TEST_METRICS, "--model", ("../iris", "Iris", "x;touch pwned", "$(touch pwned)", "nowhere", "")),
    (TEST_METRICS, "--shift", ("age sex", "age; touch pwned", "$(touch pwned)", "*", "")),
    (TEST_METRICS, "--url", NO_URL),
    (DEPLOY_MONITORING, "--public-url", NO_URL),
    (DEPLOY, "--push", NO_REGISTRY),
    (DEPLOY, "--platform", ("amd64", "windows/amd64", "linux/amd64,linux/arm64", "linux/$(touch pwned)", "")),
    (DEPLOY_MONITORING, "--grafana-password-file", ("/nowhere", "/tmp", "--dry-run", "")),  # noqa: S108
]


@pytest.fixture
def cluster(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "stand-ins", ANSWERS)


def rejection_of(
    cluster: StandIns, command: Sequence[str | Path], variables: Mapping[str, str] | None = None
) -> str:
    """Run a script that must end with one sentence before it calls anything, and return the sentence."""
    result = cluster.run(*command, variables=variables)
    assert result.returncode == 1, command
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: "), (command, result.stderr)
    assert not cluster.calls(), command
    assert not cluster.left_files(), command
    return sentence


@pytest.mark.parametrize(
    ("script", "option", "values"), REFUSED, ids=lambda value: Path(str(value)).name[:20]
)
def test_invalid_arguments_get_a_sentence_and_are_not_run(
    cluster: StandIns, script: Path, option: str, values: Sequence[str]
) -> None:
    for value in values:
        assert "hunter2" not in rejection_of(cluster, [script, option, value])
    assert f"{option} needs" in rejection_of(cluster, [script, option])


@pytest.mark.parametrize(
    "script", [DEPLOY, CLEANUP, DEMO, DEPLOY_MONITORING, CLEANUP_MONITORING, TEST_METRICS]
)
def test_misplaced_words_are_not_echoed(cluster: StandIns, script: Path) -> None:
    for words in (
        ["--grafana-pass=hunter2"],
        ["hunter2"],
        ["--down=hunter2"],
        ["--grafana-password=hunter2"],
    ):
        assert "hunter2" not in rejection_of(cluster, [script, *words])


def test_names_that_kubernetes_allows_are_accepted(cluster: StandIns) -> None:
    """Some of them are numbers and booleans to YAML."""
    for name in ("x", "1", "true", "1e3", "0x1f", "a--b", "a" * 63):
        result = cluster.run(DEPLOY_MONITORING, "--namespace", name, "--dry-run")
        assert result.returncode == 0, result.stderr
        kustomization = yaml.safe_load(result.stdout[: result.stdout.index(RENDERED[0])])
        assert kustomization["namespace"] == name


@pytest.mark.parametrize("port", ["0", "70000", "5000/x", "5000@example.org", "$(touch pwned)"])
def test_the_alert_lab_rejects_an_invalid_port(cluster: StandIns, port: str) -> None:
    for variable in ("API_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"):
        assert variable in rejection_of(cluster, [DEMO], {variable: port})


@pytest.mark.parametrize("stack", ["../compose/iris", "iris churn", "iris; touch pwned", "-x", "*", "."])
def test_an_unknown_stack_is_rejected(cluster: StandIns, stack: str) -> None:
    assert "there is no stack" in rejection_of(cluster, [UP, stack])


@pytest.mark.parametrize("service", ["--output=pwned", "app prometheus", "*", "$(touch pwned)", ""])
def test_an_unknown_service_is_rejected(cluster: StandIns, service: str) -> None:
    result = cluster.run(UP, "iris", service)
    assert result.returncode == 1
    assert "error: the stack has no such service; it has app prometheus" in result.stderr
    assert not [call for call in cluster.calls() if " up " in call or "pwned" in call]
    assert cluster.run(UP, "iris", "app").returncode == 0


def test_a_stack_whose_ports_are_unknown_is_not_started(cluster: StandIns) -> None:
    assert cluster.run(UP, "iris", "app").returncode == 0
    for failing in range(1, len(cluster.calls())):
        result = cluster.run(UP, "iris", "app", fails_at=failing, fails_late=True)
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].startswith("error: ")
        assert not [call for call in cluster.calls() if " up " in call]


@pytest.mark.parametrize("verb", ["up", "down"])
def test_make_passes_a_value_on_as_one_word(cluster: StandIns, verb: str, tmp_path: Path) -> None:
    for value in (
        f"iris; touch {tmp_path}/pwned",
        f"x' || touch {tmp_path}/pwned '",
        f"`touch {tmp_path}/pwned`",
    ):
        result = cluster.run("make", "-C", PROJECT, verb, f"STACK={value}")
        assert result.returncode == 2
        assert not (tmp_path / "pwned").exists()
    assert "name a stack" in cluster.run("make", "-C", PROJECT, verb, "STACK=").stderr


def test_helm_gets_no_other_namespace(cluster: StandIns) -> None:
    for options in (["--namespace", "x"], ["--namespace=x"], ["-n", "x"], ["-nx"]):
        assert "name the namespace before the --" in rejection_of(cluster, [DEPLOY, "--", *options])


def test_helm_gets_no_other_cluster_and_installs(cluster: StandIns) -> None:
    for options in (["--kube-context", "x"], ["--kubeconfig=x"], ["--kube-apiserver", "x"]):
        said = rejection_of(cluster, [DEPLOY, "--", *options])
        assert f"{options[0].partition('=')[0]} is for Helm alone: choose the cluster by kubectl" in said
    assert "name --dry-run before the --" in rejection_of(cluster, [DEPLOY, "--", "--dry-run=server"])


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ([], "http://127.0.0.1:8000"),
        (["--public-url", "https://heart.example.org/"], "https://heart.example.org"),
        (["--public-url", "http://192.0.2.1:30080/api%20v1"], "http://192.0.2.1:30080/api%20v1"),
    ],
)
def test_prometheus_gets_the_address_of_runbooks(tmp_path: Path, options: list[str], address: str) -> None:
    answers = ANSWERS | {"kubectl kustomize *": 'cat "$2/prometheus-config.yaml"'}
    result = StandIns(tmp_path / "stand-ins", answers).run(DEPLOY_MONITORING, "--dry-run", *options)
    assert yaml.safe_load(result.stdout)["global"]["external_labels"] == {"public_url": address}


def test_the_port_forward_of_runbooks_is_printed_where_no_address_is_given(cluster: StandIns) -> None:
    forward = "kubectl port-forward --namespace risk service/heart-disease-api 8000:http"
    assert forward in cluster.run(DEPLOY_MONITORING, "--namespace", "risk").stdout
    assert "port-forward" not in cluster.run(DEPLOY_MONITORING, "--public-url", "http://192.0.2.1").stdout


# ---- Grafana's password ----

PASSWORDS = ["hunter2", 'it\'s "$HOME" `id` \\n #{a: [b]} & | ; % é', "12345678", "- x", "true", "!x y: z"]


def given(cluster: StandIns, way: str, password: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if way == "argument":
        return cluster.run(DEPLOY_MONITORING, "--grafana-password", password)
    if way == "file":
        (folder / "password").write_text(f"{password}\n", encoding="utf-8")
        return cluster.run(DEPLOY_MONITORING, "--grafana-password-file", folder / "password")
    return cluster.run(DEPLOY_MONITORING, "--grafana-password-file", "-", given=f"{password}\r\n")


@pytest.mark.parametrize(("way", "number"), [("argument", 1), ("file", 1), ("standard input", 3)])
def test_a_password_reaches_the_secret_and_no_argument(
    cluster: StandIns, way: str, number: int, tmp_path: Path
) -> None:
    for password in PASSWORDS[:number]:
        result = given(cluster, way, password, tmp_path)
        assert result.returncode == 0, result.stderr
        encoded = base64.b64encode(password.encode()).decode()
        for call in cluster.calls():
            assert password not in call
            assert encoded not in call
        assert password not in result.stdout + result.stderr
        (secret,) = [yaml.safe_load(text) for text in cluster.inputs() if "kind: Secret" in text]
        assert base64.b64decode(secret["data"]["password"]).decode() == password
        assert secret["metadata"]["labels"] == {"app.kubernetes.io/part-of": "heart-disease-monitoring"}
        assert not cluster.left_files()


@pytest.mark.parametrize(
    "password",
    [
        "hunter2\nx",
        "hunter2\0",
        "hunter2\tx",
        "${hunter2}",
        "$__file{hunter2}",
        "%(hunter2)s",
        "hunter2" * 200,
        "",
    ],
)
def test_a_password_that_grafana_would_misread_is_rejected(cluster: StandIns, password: str) -> None:
    result = cluster.run(DEPLOY_MONITORING, "--grafana-password-file", "-", given=password)
    assert result.returncode == 1
    assert "password" in result.stderr.splitlines()[-1]
    assert "hunter2" not in result.stderr
    assert not cluster.calls()


def test_a_password_is_generated_once(cluster: StandIns, tmp_path: Path) -> None:
    assert cluster.run(DEPLOY_MONITORING).returncode == 0
    (secret,) = [yaml.safe_load(text) for text in cluster.inputs()]
    assert len(base64.b64decode(secret["data"]["password"])) == 32
    there = StandIns(
        tmp_path / "there", {"kubectl *get secret grafana-admin*": say("secret/grafana-admin")} | ANSWERS
    )
    assert "is kept" in there.run(DEPLOY_MONITORING, "--grafana-password", "hunter2").stdout
    assert not there.inputs()


# ---- calls that fail ----


def test_deploying_monitoring_stops_at_a_failed_call(cluster: StandIns) -> None:
    assert cluster.run(DEPLOY_MONITORING, "--without-grafana").returncode == 0
    calls = cluster.calls()
    assert "kubectl --namespace mlops delete configmap prometheus-config-old" in calls
    assert "kubectl --namespace mlops delete configmap prometheus-config-a" not in calls
    for failing, call in enumerate(calls, start=1):
        result = cluster.run(DEPLOY_MONITORING, "--without-grafana", fails_at=failing)
        if call.startswith(("kubectl get pod monitoring-check", "curl", "kubectl get nodes")):
            assert result.returncode == 0, call  # is retried, or only what is printed depends on it
            continue
        assert result.returncode == 1, call
        assert result.stderr.splitlines()[-1].startswith("error: "), (call, result.stderr)
        later = cluster.calls()[failing:]
        assert not [call for call in later if " delete " in call or " apply " in call], call


def test_deploying_stops_at_a_failed_call(cluster: StandIns) -> None:
    assert cluster.run(DEPLOY, "--no-build").returncode == 0
    for failing, call in enumerate(cluster.calls(), start=1):
        result = cluster.run(DEPLOY, "--no-build", fails_at=failing)
        if call.startswith("kubectl get nodes") or call.endswith("/health"):
            assert "kubectl port-forward" in result.stdout
            continue
        assert result.returncode == 1, call
        assert re.search("^error: ", result.stderr, re.MULTILINE), (call, result.stderr)
        assert not cluster.calls()[failing:], call


def test_deploying_a_model_serves_it_and_asks_with_its_own_example(cluster: StandIns) -> None:
    assert cluster.run(DEPLOY, "--no-build", "--model", "iris").returncode == 0
    assert "--set-string model.name=iris" in next(call for call in cluster.calls() if "upgrade" in call)
    assert [call for call in cluster.calls() if call.endswith("""--data '{"x":1,"y":"a b"}'""")]
    assert cluster.run(DEPLOY, "--no-build").returncode == 0
    assert "model.name" not in next(call for call in cluster.calls() if "upgrade" in call)


def test_deploying_beside_prometheus_lets_the_live_page_show_all_pods(tmp_path: Path) -> None:
    asked = "--set-string console.prometheusUrl=http://prometheus:9090"
    for answer, expected in (("service/prometheus", True), ("", False)):
        answers = {"kubectl get service prometheus *": say(answer) if answer else "true"} | ANSWERS
        cluster = StandIns(tmp_path / str(expected), answers)
        assert cluster.run(DEPLOY, "--no-build", "--", "--set", "service.type=ClusterIP").returncode == 0
        upgrade = next(call for call in cluster.calls() if "upgrade" in call)
        assert (asked in upgrade) is expected
        assert upgrade.endswith("--set service.type=ClusterIP"), "what the user sets wins"


COUNTERS = 'api_requests_total{endpoint="/predict",status_code="200"}'
TRAFFIC = {  # four requests, which the counter of a pod shows once they were sent
    "kubectl get service --namespace*": f"rm -f $folder/temporary/sent; {say('heart-disease-api:30080')}",
    "curl */": say('{"models":[{"name":"heart-disease","version":"v1"}]}'),
    "kubectl get service prometheus*": say("service/prometheus"),
    "kubectl get pods*": "printf 'heart-1 '",
    "kubectl get --raw */metrics": f"if [ -e $folder/temporary/sent ]; then {say(COUNTERS + ' 4')}; fi",
    "kubectl get --raw *query*": say('{"data":{"result":[{"value":[1.0,"4"]}]}}'),
    "curl --config *": f"touch $folder/temporary/sent; {say(*['200 200 0.01'] * 4)}",
}


def test_traffic_with_unreadable_counters_is_a_failure(tmp_path: Path) -> None:
    cluster = StandIns(tmp_path / "stand-ins", TRAFFIC | ANSWERS)
    command: list[str | Path] = [TEST_METRICS, "--requests", "4", "--concurrency", "1"]
    result = cluster.run(*command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Prometheus: 4 predictions were asked for in all" in result.stdout
    for failing, call in enumerate(cluster.calls(), start=1):
        if "get nodes" in call or call.endswith("30080/health") or "query" in call:
            continue  # has a fallback, or is retried
        result = cluster.run(*command, fails_at=failing)
        assert result.returncode == 1, call
        assert re.search("^error: |only 0 requests were sent", result.stdout + result.stderr, re.MULTILINE), (
            call
        )


def test_traffic_that_sent_nothing_is_a_failure(tmp_path: Path) -> None:
    """The stand-in for curl exits with 0, and sends nothing."""
    cluster = StandIns(tmp_path, {"curl */": TRAFFIC["curl */"]})
    result = cluster.run(TEST_METRICS, "--url", "http://192.0.2.1:8000", "--requests", "4")
    assert result.returncode == 1
    assert "only 0 requests were sent" in result.stdout


@pytest.mark.parametrize("script", ["scripts/deploy.sh --model own", "compose/up.sh model"])
def test_a_model_with_metrics_of_its_own_needs_its_rules(script: str, tmp_path: Path) -> None:
    for part in ("scripts", "compose"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    own = tmp_path / "models" / "own"
    shutil.copytree(PROJECT / "models" / "iris", own)
    command = shlex.split(f"{tmp_path}/{script}")
    settings = {
        "PATH": os.environ["PATH"],
        "MODEL": "own",
        "KUBECONFIG": "/nowhere",
        "DOCKER_HOST": "unix:///nowhere",
    }

    def said() -> str:
        ran: subprocess.CompletedProcess[str] = subprocess.run(
            command, env=settings, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 1
        return ran.stderr

    sentence = "models/own has [metrics]: make rules MODEL=own writes its alerts and its dashboard"
    assert said() == f"error: {sentence}\n"
    (own / "monitoring").mkdir()
    for name in ("rules.yaml", "chart-rules.yaml"):
        (own / "monitoring" / name).touch()
    assert sentence not in said()


@pytest.mark.parametrize(
    ("answer", "options", "sentence"),
    [
        (
            "heart-disease",
            ["--shift", "weight"],
            "there is no feature 'weight' to shift; there are age sex cp",
        ),
        ("heart-disease", ["--model", "iris"], "the API serves heart-disease, not iris"),
        ("elsewhere", [], "models/elsewhere/model.toml is missing: set MODELS_DIR"),
        (None, [], "the answer to GET / does not name the models that are served"),
    ],
)
def test_traffic_that_does_not_suit_the_served_model_is_not_sent(
    tmp_path: Path, answer: str | None, options: list[str], sentence: str
) -> None:
    served = f'{{"models":[{{"name":"{answer}","version":"v1"}}]}}' if answer else "<html>"
    cluster = StandIns(tmp_path, TRAFFIC | {"curl */": say(served)} | ANSWERS)
    result = cluster.run(TEST_METRICS, *options)
    assert result.returncode == 1
    assert sentence in result.stderr.splitlines()[-1]
    assert not [call for call in cluster.calls() if "--config" in call]
    assert not cluster.left_files() - {"sent"}


def test_without_a_python_that_reads_toml_a_sentence_asks_for_it(cluster: StandIns, tmp_path: Path) -> None:
    for program in ("python3", *(f"python3.{minor}" for minor in range(11, 15))):
        (tmp_path / program).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    shutil.copytree(MONITORING, tmp_path / "monitoring")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    sentence = rejection_of(cluster, [tmp_path / "monitoring" / "test-metrics.sh"], path)
    assert "Python 3.11 or newer is needed" in sentence
