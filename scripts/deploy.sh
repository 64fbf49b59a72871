#!/usr/bin/env bash
# Builds the image, brings it to the current cluster, installs the chart, and makes one prediction.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
CHART=$ROOT/helm-charts/heart-disease-api
IMAGE=heart-disease-api:latest
RELEASE=heart-disease-api
NAMESPACE=mlops
MODEL=
RULES=
PROMETHEUS=
BUILD=true
DRY_RUN=false
WATCHER=
SCRATCH=
BUILDER=

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"

usage() {
    cat <<EOF
usage: scripts/deploy.sh [--model NAME] [--namespace NAME] [--no-build] [--dry-run] [-- HELM OPTIONS]

Builds $IMAGE, brings it to the cluster of the current kubectl context (minikube, kind, k3d, or containerd on this
machine), and runs helm upgrade --install with rollback on failure. Safe to repeat.

  --model NAME       a folder of models/ to serve, once it is trained (the chart's: heart-disease)
  --namespace NAME   where to install ($NAMESPACE)
  --no-build         use the image that the cluster has
  --dry-run          say what would be done
  -- HELM OPTIONS    passed on to helm, such as --set model.threshold=0.3; what is secret belongs into --values FILE

With PYTHON_IMAGE=registry.example/python:3.13-slim the image is built on that base, and not on the one of the Dockerfile.
EOF
}

need() {
    command -v "$1" >/dev/null || fail "$1 is needed and not installed"
}

# Shows a command's output only when it fails.
run() {
    local output
    if $DRY_RUN; then
        echo "would run: $*"
    else
        output=$("$@" 2>&1) || fail "$* failed: $output"
    fi
}

step() {
    local what=$1 start=$SECONDS
    shift
    echo "==> $what"
    "$@"
    $DRY_RUN || echo "    $((SECONDS - start)) s"
}

# The development cluster of `make cluster` is used where no other is asked for.
find_cluster() {
    # shellcheck source=/dev/null
    if [ -z "${KUBECONFIG:-}" ] && [ -f "$ROOT/.cluster/environment" ]; then . "$ROOT/.cluster/environment"; fi
    need kubectl
    need helm
    CONTEXT=$(kubectl config current-context 2>/dev/null) ||
        fail "kubectl has no current context; start a cluster (minikube start) or choose one (kubectl config use-context)"
    kubectl version --request-timeout=10s >/dev/null 2>&1 ||
        fail "the cluster of context '$CONTEXT' does not answer; is it running?"
}

build_image() {
    local version revision label
    local -a labels=() minikube_labels=()
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml")
    revision=$(git -C "$ROOT" describe --always --dirty 2>/dev/null || echo unknown)
    for label in "version=$version" "revision=$revision"; do
        labels+=(--label "org.opencontainers.image.$label")
        minikube_labels+=(--build-opt "label=org.opencontainers.image.$label")
    done
    if [ -n "${PYTHON_IMAGE:-}" ]; then
        labels+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
        minikube_labels+=(--build-opt "build-arg=PYTHON_IMAGE=$PYTHON_IMAGE")
    fi
    find_builder
    if [ "$BUILDER" = minikube ]; then
        run minikube image build --tag "$IMAGE" "${minikube_labels[@]}" "$ROOT"
    elif [ "$BUILDER" = docker ]; then
        run docker build --tag "$IMAGE" "${labels[@]}" "$ROOT"
    else
        run buildah build --layers --tag "$IMAGE" "${labels[@]}" "$ROOT"
    fi
}

# Asked once, so that the image is taken from where it was built.
find_builder() {
    if [ "$CONTEXT" = minikube ]; then
        need minikube
        BUILDER=minikube
    elif docker info >/dev/null 2>&1; then
        BUILDER=docker
    elif command -v buildah >/dev/null; then
        BUILDER=buildah
    else
        fail "neither a running Docker nor buildah is here to build the image; start Docker, or use --no-build"
    fi
}

bring_image() {
    case $CONTEXT in
    minikube) ;;
    kind-*) need kind && run kind load docker-image "$IMAGE" --name "${CONTEXT#kind-}" ;;
    k3d-*) need k3d && run k3d image import "$IMAGE" --cluster "${CONTEXT#k3d-}" ;;
    *) import_into_containerd ;;
    esac
}

import_into_containerd() {
    local address addresses
    command -v ctr >/dev/null ||
        fail "context '$CONTEXT' is none of minikube, kind, k3d or containerd here: push the image to a registry, then --no-build -- --set image.repository=..."
    if [ "$BUILDER" = docker ]; then
        run docker save --output "$SCRATCH/image.tar" "$IMAGE"
    else
        run buildah push "$IMAGE" "docker-archive:$SCRATCH/image.tar:docker.io/library/$IMAGE"
    fi
    read -r -a addresses <<<"${CONTAINERD_ADDRESSES:-/run/containerd/containerd.sock}"
    for address in "${addresses[@]}"; do
        run ctr --address "$address" --namespace k8s.io images import "$SCRATCH/image.tar"
    done
    rm -f "$SCRATCH/image.tar"
}

install_chart() {
    local version rollback=--atomic
    version=$(helm version --short) || fail "Helm does not say which version it is"
    case $version in v4*) rollback=--rollback-on-failure ;; esac
    set -- helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" --create-namespace \
        --wait "$rollback" --timeout 3m ${MODEL:+--set-string "model.name=$MODEL"} \
        ${RULES:+--set-file "metrics.prometheusRule.rules=$RULES"} \
        ${PROMETHEUS:+--set-string "console.prometheusUrl=$PROMETHEUS"} "$@"
    if $DRY_RUN; then
        run "$@"
        return
    fi
    note_failures "$SCRATCH/failures" >/dev/null 2>&1 &
    WATCHER=$!
    "$@" >"$SCRATCH/output" 2>&1 ||
        fail "helm failed: $(tail -n 5 "$SCRATCH/output")
$(if [ -s "$SCRATCH/failures" ]; then echo "The pods said:"; cat "$SCRATCH/failures"; fi)"
}

# Notes what failing pods say, because a rollback removes them.
note_failures() {
    local states='{range .items[*].status.containerStatuses[*]}{.state.waiting.message}{"\n"}{.lastState.terminated.message}{"\n"}{end}'
    while sleep 1; do
        kubectl get pods --namespace "$NAMESPACE" --selector "app.kubernetes.io/instance=$RELEASE" \
            --output "jsonpath=$states" 2>/dev/null | sed '/^$/d' | sort -u >"$1.new" || true # asked again in a second
        if [ -s "$1.new" ]; then mv "$1.new" "$1"; fi
    done
}

clean_up() {
    if [ -n "$WATCHER" ]; then kill "$WATCHER" 2>/dev/null || true; fi
    if [ -n "$SCRATCH" ]; then rm -r "$SCRATCH"; fi
}

# Sends the example that the served model gives of itself.
predict() {
    local models row
    models=$(curl --silent --fail --max-time 5 "$1/models") || fail "$1 answered /health, and not /models; $(logs)"
    row=${models#*\"example\":}
    curl --silent --show-error --max-time 5 "$1/predict" --header 'Content-Type: application/json' --data "${row%%\}*}}" ||
        fail "$1 answered /health, but no prediction; $(logs)"
}

logs() {
    echo "kubectl logs --namespace $NAMESPACE --selector app.kubernetes.io/instance=$RELEASE"
}

try_prediction() {
    local port address addresses url found=false
    run helm test "$RELEASE" --namespace "$NAMESPACE"
    if $DRY_RUN; then return; fi
    port=$(kubectl get service "$RELEASE" --namespace "$NAMESPACE" -o 'jsonpath={.spec.ports[0].nodePort}') ||
        fail "the release is installed, but the cluster does not tell its Service"
    # who may not list the nodes reaches the API by a forwarded port
    addresses=$(kubectl get nodes -o 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}') || addresses=
    for address in $addresses; do
        url=http://$address:$port
        if [ -n "$port" ] && curl --silent --fail --max-time 3 --output /dev/null "$url/health"; then
            $found || predict "$url"
            $found || echo
            echo "$url/docs"
            found=true
        fi
    done
    if $found; then return; fi
    echo "No node's port answers from here. Reach the API with one of:"
    if [ "$CONTEXT" = minikube ]; then echo "  minikube service $RELEASE --namespace $NAMESPACE --url"; fi
    echo "  kubectl port-forward --namespace $NAMESPACE service/$RELEASE 8000:80    # then http://127.0.0.1:8000/docs"
}

# Helm would take another namespace than the commands after it.
check_helm_options() {
    local option
    for option in "$@"; do
        case $option in --namespace | --namespace=* | -n | -n[!-]*) fail "name the namespace before the --" ;; esac
    done
}

# Rules are shipped for the default names and those of the shipped models; a [metrics] section has others.
find_rules() {
    [ ! -f "$CHART/files/rules/$MODEL.yaml" ] && grep -q '^ *\[metrics' "$ROOT/models/$MODEL/model.toml" || return 0
    RULES=$ROOT/models/$MODEL/monitoring/chart-rules.yaml
    [ -f "$RULES" ] || fail "models/$MODEL has [metrics]: make rules MODEL=$MODEL writes its alerts and its dashboard"
}

# The console's live page shows all pods where deploy-monitoring.sh has put a Prometheus beside them.
find_prometheus() {
    local found
    found=$(kubectl get service prometheus --namespace "$NAMESPACE" --ignore-not-found --output name) ||
        fail "the cluster does not tell whether a Prometheus is in namespace $NAMESPACE; kubectl says above why"
    if [ -n "$found" ]; then PROMETHEUS=http://prometheus:9090; fi
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --model) need_value 'a name' "$@" && MODEL=$2 && shift 2 ;;
        --namespace) need_value 'a name' "$@" && NAMESPACE=$2 && shift 2 ;;
        --no-build) BUILD=false && shift ;;
        --dry-run) DRY_RUN=true && shift ;;
        --help | -h) usage && exit ;;
        --) shift && break ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_namespace "$NAMESPACE"
    if [ -n "$MODEL" ]; then
        check_model "$MODEL" "$ROOT/models" # which the image has
        find_rules
    fi
    check_helm_options "$@"
    trap clean_up EXIT
    SCRATCH=$(mktemp -d)
    find_cluster
    if $BUILD; then
        step "building $IMAGE" build_image
        step "bringing it to $CONTEXT" bring_image
    fi
    find_prometheus
    step "installing release $RELEASE in namespace $NAMESPACE" install_chart "$@"
    step "asking for a prediction" try_prediction
}

main "$@"
