"""The scripts on the clusters of others: where a node's port answers, and which image is installed.

kubectl, helm, docker, buildah and curl are stand-ins that record their calls.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.stand_ins import MONITORING, SCRIPTS, StandIns, say

DEPLOY = SCRIPTS / "deploy.sh"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
NODES = "kubectl get nodes --output *"
PUSH = ("--push", "registry.example.org/team")
GKE = "gke_project_europe-west1-b_x"
SILENT = "exit 7"
ONCE_FORWARDED = 'until grep -qs port-forward "$folder"/calls/*; do /bin/sleep 0.1; done; exit 7'
"""A script forwards beside what it does next, and ends that where it fails."""


def cluster(folder: Path, context: str, answers: Mapping[str, str] | None = None) -> StandIns:
    known = {
        "kubectl config current-context": say(context),
        "kubectl config view *": say(f"|{context}"),
        "kubectl get nodes --selector *": say("node1 amd64 containerd://2.1.0 v1.33.0"),
        NODES: say("192.0.2.1 2001:db8::1 192.0.2.2 192.0.2.3 192.0.2.4"),
        "kubectl get service --namespace *": say("heart-disease-api:30080"),
        "kubectl get service heart-disease-api *": say("30080"),
        "kubectl get service prometheus *": "true",
        "docker version --format *": say("amd64"),
        "docker push *": say("1.0.0: Pushed", f"1.0.0-1: digest: {DIGEST} size: 856"),
    }
    others = {call: answer for call, answer in known.items() if call not in (answers or {})}
    return StandIns(folder / "stand-ins", {**(answers or {}), **others})


def asked_hosts(stand_ins: StandIns) -> list[str]:
    """Return the hosts that were asked, in their order."""
    calls = [call for call in stand_ins.calls() if call.startswith("curl") and call.endswith("/health")]
    return [call.rpartition("//")[2].partition(":")[0] for call in calls]


@pytest.mark.parametrize("context", ["docker-desktop", "rancher-desktop", "colima", "colima-dev", "orbstack"])
def test_ports_of_a_desktop_are_on_localhost(context: str, tmp_path: Path) -> None:
    desktop = cluster(tmp_path, context, {"curl *localhost:*": "true", "curl *": SILENT})
    assert "http://localhost:30080/docs" in desktop.run(DEPLOY, "--no-build").stdout
    result = desktop.run(MONITORING / "test-metrics.sh", "--requests", "4")
    assert asked_hosts(desktop) == ["localhost"], result.stderr


@pytest.mark.parametrize("context", ["arn:aws:eks:eu-west-1:123:cluster/x", "kind-heart", "my lab/one"])
def test_three_nodes_are_asked_before_a_port_is_forwarded(context: str, tmp_path: Path) -> None:
    remote = cluster(tmp_path, context, {"curl *:18080/health": ONCE_FORWARDED, "curl *": SILENT})
    said = remote.run(DEPLOY, "--no-build").stdout
    assert asked_hosts(remote) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert "kubectl port-forward --namespace mlops service/heart-disease-api 8000:http" in said
    assert "minikube" not in said
    remote.run(MONITORING / "test-metrics.sh", "--requests", "4")
    assert "kubectl port-forward --namespace mlops service/heart-disease-api 18080:http" in remote.calls()


def test_the_profile_of_minikube_is_in_what_is_advised(tmp_path: Path) -> None:
    view = {"kubectl config view *": say("minikube.sigs.k8s.io|dev"), "curl *": SILENT}
    said = cluster(tmp_path, "renamed", view).run(DEPLOY, "--no-build").stdout
    assert "minikube service heart-disease-api --namespace mlops --profile dev --url" in said


def test_what_docker_pushed_is_installed_by_its_digest(tmp_path: Path) -> None:
    remote = cluster(
        tmp_path, "gke_project_europe-west1-b_x", {"curl */models": say('[{"example":{"x":1}}]')}
    )
    result = remote.run(DEPLOY, *PUSH)
    assert result.returncode == 0, result.stderr
    upgrade = next(call for call in remote.calls() if call.startswith("helm upgrade"))
    assert (
        f"--set-string image.registry=registry.example.org/team --set-string image.digest={DIGEST}" in upgrade
    )
    assert not remote.left_files()


def test_nothing_is_installed_after_a_failed_call(tmp_path: Path) -> None:
    remote = cluster(tmp_path, GKE)
    remote.run(DEPLOY, *PUSH)
    calls = remote.calls()
    (number,) = [index for index, call in enumerate(calls, 1) if call.startswith("helm upgrade")]
    for failing in range(1, number):
        result = remote.run(DEPLOY, *PUSH, fails_at=failing)
        assert result.returncode == 1, calls[failing - 1]
        assert result.stderr.splitlines()[-1].startswith("error: "), result.stderr
        later = remote.calls()[failing:]
        assert not [call for call in later if call.startswith("helm upgrade")], calls[failing - 1]


def test_a_push_without_a_digest_installs_nothing(tmp_path: Path) -> None:
    remote = cluster(tmp_path, "remote", {"docker push *": say("Pushed")})
    result = remote.run(DEPLOY, *PUSH)
    assert "did not tell the image's digest: Pushed" in result.stderr
    assert not [call for call in remote.calls() if call.startswith("helm upgrade")]


@pytest.mark.parametrize("option", [PUSH, ("--platform", "linux/amd64")])
def test_what_is_not_built_is_not_pushed(option: tuple[str, str], tmp_path: Path) -> None:
    remote = cluster(tmp_path, "remote")
    assert "leave them or --no-build out" in remote.run(DEPLOY, "--no-build", *option).stderr
    assert not remote.calls()


@pytest.mark.parametrize("script", ["deploy.sh", "cleanup.sh"])
@pytest.mark.parametrize("variable", ["HELM_KUBECONTEXT", "HELM_KUBEAPISERVER"])
def test_a_cluster_that_only_helm_is_told_is_left_alone(script: str, variable: str, tmp_path: Path) -> None:
    lab = cluster(tmp_path, "lab", {"curl *": SILENT})
    options = ["--no-build"] if script == "deploy.sh" else []
    result = lab.run(SCRIPTS / script, *options, variables={variable: "https://production"})
    assert result.returncode == 1
    assert variable in result.stderr
    assert not [call for call in lab.calls() if call.startswith("helm")]


def test_why_a_cluster_does_not_answer_is_said(tmp_path: Path) -> None:
    said = "Unable to connect to the server: getting credentials: exec: executable aws not found"
    lines = say("E1129 00:00:00.000000 1 memcache.go:265]", said, "", "It looks like a plugin is missing.")
    lab = cluster(tmp_path, "lab", {"kubectl version *": f"{lines} >&2; exit 1"})
    result = lab.run(DEPLOY, "--no-build")
    assert result.stderr.startswith("error: the cluster of context 'lab' does not answer; is it running?")
    assert result.stderr.endswith(f"kubectl says: {said}\n")


def test_a_machine_without_curl_is_told_so_before_anything_is_installed(tmp_path: Path) -> None:
    lab = cluster(tmp_path, "lab")
    (tmp_path / "stand-ins" / "bin" / "curl").unlink()
    for program in ("bash", "dirname", "mktemp", "rm"):
        (tmp_path / "stand-ins" / "bin" / program).symlink_to(str(shutil.which(program)))
    result = lab.run(DEPLOY, "--no-build", variables={"PATH": str(tmp_path / "stand-ins" / "bin")})
    assert result.stderr == "error: curl is needed and not installed\n"
    assert lab.calls() == []
