"""deploy.sh brings the image to every kind of cluster that users have.

The script, kubectl, helm and the kubeconfigs are real. The clusters cannot run here: an API answers what
kubectl asks, programs of their names stand in for minikube, kind, k3d, docker, colima, nerdctl, microk8s and
k3s, and --dry-run says what would be run.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.programs import canned_kubernetes
from tests.programs.deploying import deploy, make_commands, planned, write_program

DOCKER = """\
#!/bin/sh
case "$*" in
*"version --format {{.Server.Arch}}") echo "$ENGINE" ;;
"context inspect "*) case " $DOCKER_CONTEXTS " in *" $3 "*) ;; *) exit 1 ;; esac ;;
"buildx version") ;;
*) echo "docker $* is not expected" >&2; exit 9 ;;
esac
"""
HERE = os.uname().nodename.lower()
AMD = ("node1", "amd64", "containerd://2.1.0", "v1.33.0")
ARM = ("node2", "arm64", "containerd://2.1.0", "v1.33.0")
K3S = (HERE, "amd64", "containerd://2.1.0-k3s1", "v1.33.0+k3s1")
EKS = "arn:aws:eks:eu-west-1:123:cluster/x"
REMOTE = "name a registry that they pull from with --push REGISTRY"
LABELS = "--label VERSION --label REVISION"
DOCKER_BUILD = f"docker build --tag heart-disease-api:latest {LABELS} ."
PUSHED = "registry.example.org:5000/team/heart-disease-api:TAG"


class Case(NamedTuple):
    """A user's cluster, and what the script would run before helm, or the sentence that it ends with."""

    context: str
    expected: str | Sequence[str]
    cluster: str = ""
    provider: str = ""
    nodes: Sequence[canned_kubernetes.Node] = (AMD,)
    options: Sequence[str] = ()
    absent: Sequence[str] = ()
    engine: str = "amd64"
    docker_contexts: str = ""
    helm: str = ""


def minikube(profile: str, more: str = "") -> list[str]:
    labels = "--build-opt label=VERSION --build-opt label=REVISION"
    return [f"minikube image build --profile {profile} --tag heart-disease-api:latest {more}{labels} ."]


SAVED = "docker save --output ARCHIVE heart-disease-api:latest"
BUILDAH = f"buildah build --layers --pull=false --tag heart-disease-api:latest {LABELS} ."
BUILDAH_SAVED = (
    "buildah push heart-disease-api:latest docker-archive:ARCHIVE:docker.io/library/heart-disease-api:latest"
)
DOCKERED = ("node1", "amd64", "docker://27.0.1", "v1.33.0")
PUSH = ("--push", "registry.example.org:5000/team")

CASES = {
    "minikube": Case("minikube", minikube("minikube"), provider="minikube.sigs.k8s.io"),
    "minikube, profile dev": Case("dev", minikube("dev"), provider="minikube.sigs.k8s.io"),
    "minikube, renamed context": Case(
        "my lab/one", minikube("dev"), cluster="dev", provider="minikube.sigs.k8s.io"
    ),
    "minikube of 2020, unmarked": Case("minikube", minikube("minikube")),
    "minikube, a profile called like colima's": Case(
        "colima", minikube("colima"), provider="minikube.sigs.k8s.io"
    ),
    "minikube, two nodes": Case(
        "dev", minikube("dev", "--all "), provider="minikube.sigs.k8s.io", nodes=(AMD, AMD)
    ),
    "minikube, another platform": Case(
        "minikube",
        "minikube builds for linux/amd64 here, not for linux/arm64; leave --platform out",
        options=("--platform", "linux/arm64"),
    ),
    "kind": Case(
        "kind-heart", [DOCKER_BUILD, "kind load docker-image heart-disease-api:latest --name heart"]
    ),
    "kind, renamed context": Case(
        "heart",
        [DOCKER_BUILD, "kind load docker-image heart-disease-api:latest --name a b"],
        cluster="kind-a b",
    ),
    "kind with buildah": Case(
        "kind-heart",
        [BUILDAH, BUILDAH_SAVED, "kind load image-archive ARCHIVE --name heart"],
        absent=["docker"],
    ),
    "k3d": Case("k3d-heart", [DOCKER_BUILD, "k3d image import heart-disease-api:latest --cluster heart"]),
    "docker-desktop": Case("docker-desktop", [DOCKER_BUILD]),
    "docker-desktop beside colima": Case(
        "docker-desktop",
        [DOCKER_BUILD.replace("docker", "docker --context desktop-linux", 1)],
        docker_contexts="colima desktop-linux",
    ),
    "docker-desktop without docker": Case(
        "docker-desktop", "docker is needed and not installed", absent=["docker"]
    ),
    "docker-desktop that does not run": Case(
        "docker-desktop", "the Docker engine of context 'docker-desktop' does not answer", engine=""
    ),
    "rancher-desktop": Case(
        "rancher-desktop",
        [DOCKER_BUILD.replace("docker", "docker --context rancher-desktop", 1)],
        nodes=(DOCKERED,),
        docker_contexts="rancher-desktop",
    ),
    "rancher-desktop with containerd": Case(
        "rancher-desktop", [f"nerdctl --namespace k8s.io build --tag heart-disease-api:latest {LABELS} ."]
    ),
    "colima": Case("colima", [DOCKER_BUILD], nodes=(DOCKERED,)),
    "colima, profile dev": Case(
        "colima-dev",
        [DOCKER_BUILD.replace("docker", "docker --context colima-dev", 1)],
        nodes=(DOCKERED,),
        docker_contexts="colima colima-dev",
    ),
    "colima with containerd": Case(
        "colima-dev",
        [DOCKER_BUILD.replace("docker", "colima nerdctl --profile dev -- --namespace k8s.io", 1)],
    ),
    "orbstack": Case(
        "orbstack",
        [DOCKER_BUILD.replace("docker", "docker --context orbstack", 1)],
        docker_contexts="orbstack",
    ),
    "microk8s": Case(
        "microk8s", [DOCKER_BUILD, SAVED, "microk8s images import ARCHIVE"], cluster="microk8s-cluster"
    ),
    "microk8s not installed": Case("microk8s", "microk8s is needed and not installed", absent=["microk8s"]),
    "k3s": Case("default", [DOCKER_BUILD, SAVED, "k3s ctr images import ARCHIVE"], nodes=(K3S,)),
    "k3s elsewhere": Case("default", REMOTE, nodes=(("other", *K3S[1:]),)),
    "kubeadm": Case(
        "kubernetes-admin@kubernetes",
        [
            DOCKER_BUILD,
            SAVED,
            "ctr --address /run/containerd/containerd.sock --namespace k8s.io images import ARCHIVE",
        ],
        nodes=((HERE, *AMD[1:]),),
    ),
    "kubeadm, two nodes": Case("kubernetes-admin@kubernetes", REMOTE, nodes=((HERE, *AMD[1:]), AMD)),
    "EKS": Case(EKS, f"the nodes of context '{EKS}' take no image from this machine: {REMOTE}"),
    "EKS, pushed": Case(
        EKS, [f"docker build --tag {PUSHED} {LABELS} .", f"docker push {PUSHED}"], options=PUSH
    ),
    "EKS, pushed by buildah": Case(
        EKS,
        [
            f"buildah build --layers --pull=false --tag {PUSHED} {LABELS} .",
            f"buildah push --digestfile DIGEST {PUSHED}",
        ],
        options=PUSH,
        absent=["docker"],
    ),
    "a Mac for EKS": Case(
        EKS,
        [
            f"docker buildx build --load --tag {PUSHED} {LABELS} --platform linux/amd64 .",
            f"docker push {PUSHED}",
        ],
        options=PUSH,
        engine="arm64",
    ),
    "two architectures": Case(
        EKS,
        "the nodes have several architectures, amd64 arm64: name the one to use",
        options=PUSH,
        nodes=(AMD, ARM, AMD),
    ),
    "one of two architectures": Case(
        EKS,
        [
            f"docker buildx build --load --tag {PUSHED} {LABELS} --platform linux/arm64 .",
            f"docker push {PUSHED}",
        ],
        options=(*PUSH, "--platform", "linux/arm64"),
        nodes=(AMD, ARM),
        helm=r"--set-string nodeSelector.kubernetes\.io/arch=arm64",
    ),
    "no node yet": Case(EKS, "name it with --platform, such as linux/amd64", options=PUSH, nodes=()),
    "no node yet, a platform": Case(
        EKS,
        [f"docker build --tag {PUSHED} {LABELS} .", f"docker push {PUSHED}"],
        options=(*PUSH, "--platform", "linux/amd64"),
        nodes=(),
    ),
    "minikube, pushed": Case(
        "dev",
        [
            f"docker build --tag {PUSHED} {LABELS} .",
            f"docker push {PUSHED}",
        ],
        provider="minikube.sigs.k8s.io",
        options=PUSH,
        absent=["minikube"],
        helm="--set-string image.registry=registry.example.org:5000/team --set-string image.digest=",
    ),
}
STAND_INS = ("minikube", "kind", "k3d", "colima", "nerdctl", "microk8s", "k3s", "ctr", "buildah")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    return make_commands(tmp_path)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_image_goes_to_whatever_the_context_is(case: Case, commands: Path, tmp_path: Path) -> None:
    for program in {*STAND_INS} - {*case.absent}:
        write_program(commands / program, "#!/bin/sh\necho amd64\n")
    if "docker" not in case.absent:
        answer = DOCKER if case.engine else "#!/bin/sh\nexit 1\n"
        write_program(commands / "docker", answer)
    with canned_kubernetes.serve(canned_kubernetes.documents(case.nodes)) as address:
        canned_kubernetes.write_kubeconfig(
            tmp_path / "kubeconfig", address, case.context, case.cluster, case.provider
        )
        result = deploy(
            commands,
            "--dry-run",
            *case.options,
            ENGINE=case.engine,
            DOCKER_CONTEXTS=case.docker_contexts,
        )
    if isinstance(case.expected, str):
        assert result.returncode == 1
        assert case.expected in result.stderr
        assert result.stderr.count("\n") == 1
        assert "would run" not in result.stdout
        return
    assert result.returncode == 0, result.stderr
    *images, upgrade, _ = planned(result.stdout)
    assert images == list(case.expected)
    assert upgrade.startswith("helm upgrade --install heart-disease-api")
    assert ("image.digest" in upgrade) is ("--push" in case.options)
    assert case.helm in upgrade


def test_a_release_that_runs_a_pushed_image_keeps_it(commands: Path, tmp_path: Path) -> None:
    """--no-build would otherwise look for an image without a registry on the nodes."""
    digest = f"sha256:{'a' * 64}"
    answers = canned_kubernetes.documents([AMD, ARM])
    selector = {"kubernetes.io/arch": "arm64"}
    kept = f"--set-string image.registry=registry.example.org:5000/team --set-string image.digest={digest}"
    with canned_kubernetes.serve(answers) as address:
        canned_kubernetes.write_kubeconfig(tmp_path / "kubeconfig", address, EKS)

        def upgrade(*options: str) -> str:
            result = deploy(commands, "--dry-run", "--no-build", *options)
            assert result.returncode == 0, result.stderr
            return planned(result.stdout)[0]

        assert "image." not in upgrade()
        image = f"registry.example.org:5000/team/heart-disease-api@{digest}"
        answers[canned_kubernetes.DEPLOYMENT] = canned_kubernetes.deployment(image, selector)
        assert kept in upgrade("--", "--set", "model.threshold=0.3")
        assert r"nodeSelector.kubernetes\.io/arch=arm64" in upgrade()
        for others in (
            "ingress.host=image.example.org",
            "extraEnv[0].value=image.x",
            "models.image=a/image.b:2",
        ):
            assert kept in upgrade("--", "--set", others)
        for options in (
            ["--set", "image.tag=v2"],
            ["--set-string=image.tag=v2"],
            ["--set", "replicaCount=2,image.tag=v2"],
            ["--set-json", 'image={"tag":"v2"}'],
            ["--values", "mine.yaml"],
            ["-f", "mine.yaml"],
        ):
            assert digest not in upgrade("--", *options)
        answers[canned_kubernetes.DEPLOYMENT] = canned_kubernetes.deployment(
            "heart-disease-api:latest", selector
        )
        assert "image." not in upgrade()
