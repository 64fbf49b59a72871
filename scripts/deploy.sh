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
REGISTRY=
PLATFORM=
TAG=

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"
# shellcheck source=scripts/cluster.sh
. "$ROOT/scripts/cluster.sh"
# shellcheck source=scripts/builder.sh
. "$ROOT/scripts/builder.sh"
# shellcheck source=scripts/images.sh
. "$ROOT/scripts/images.sh"

usage() {
    cat <<EOF
usage: scripts/deploy.sh [--push REGISTRY] [--platform NAME] [--no-build] [--model NAME] [--namespace NAME] [--dry-run]
                         [-- HELM OPTIONS]

Builds the image, brings it to the cluster of the current kubectl context, and runs helm upgrade --install with rollback on
failure. Safe to repeat. minikube, kind, k3d, Docker Desktop, Rancher Desktop, colima, OrbStack, microk8s, k3s, and containerd
on this machine take the image as it is; the nodes of any other cluster pull it from a registry.

  --push REGISTRY    push it there, such as registry.example.org:5000/team, and install exactly what was pushed
  --platform NAME    build for it, such as linux/amd64 (that of the nodes)
  --no-build         use the image that the cluster has, or that the release was installed with from a registry
  --model NAME       a folder of models/ to serve, once it is trained (the chart's: heart-disease)
  --namespace NAME   where to install ($NAMESPACE)
  --dry-run          say what would be done
  -- HELM OPTIONS    passed on to helm, such as --set model.threshold=0.3; what is secret belongs into --values FILE

With PYTHON_IMAGE=registry.example/python:3.13-slim the image is built on that base, and not on the one of the Dockerfile.
EOF
}

# Shows a command's output only when it fails.
run() {
    local output
    if $DRY_RUN; then
        echo "would run: $*"
    else
        output=$("$@" </dev/null 2>&1) || fail "$* failed: $output"
    fi
}

step() {
    local what=$1 start=$SECONDS
    shift
    echo "==> $what"
    "$@"
    $DRY_RUN || echo "    $((SECONDS - start)) s"
}

install_chart() {
    local version rollback=--atomic
    version=$(helm version --short) || fail "Helm does not say which version it is"
    case $version in v4*) rollback=--rollback-on-failure ;; esac
    set -- helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" --create-namespace \
        --wait "$rollback" --timeout 3m ${MODEL:+--set-string "model.name=$MODEL"} \
        ${REGISTRY:+--set-string "image.registry=$REGISTRY" --set-string "image.digest=$DIGEST"} \
        ${TAG:+--set-string "image.tag=$TAG"} ${ARCHITECTURE:+--set-string "nodeSelector.kubernetes\.io/arch=$ARCHITECTURE"} \
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
    local port address url found=false
    run helm test "$RELEASE" --namespace "$NAMESPACE"
    if $DRY_RUN; then return; fi
    port=$(kubectl get service "$RELEASE" --namespace "$NAMESPACE" -o 'jsonpath={.spec.ports[0].nodePort}') ||
        fail "the release is installed, but the cluster does not tell its Service"
    for address in $(node_hosts); do
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
    print_ways "$RELEASE" 8000:http /docs
}

check_image_options() {
    if [ -n "$REGISTRY" ]; then check_registry --push "$REGISTRY"; fi
    if [ -n "$PLATFORM" ]; then check_platform --platform "$PLATFORM"; fi
    $BUILD || [ -z "$REGISTRY$PLATFORM" ] ||
        fail "--push and --platform are for an image that is built here: leave them or --no-build out; one that a registry has is named after --, by --set image.registry=... --set image.tag=..."
}

# Helm would take another namespace or cluster than the commands after it, or install nothing that these could ask.
check_helm_options() {
    local option
    for option in "$@"; do
        case $option in
        --namespace | --namespace=* | -n | -n[!-]*) fail "name the namespace before the --" ;;
        --kube-context | --kube-context=* | --kubeconfig | --kubeconfig=* | --kube-apiserver | --kube-apiserver=*)
            fail "${option%%=*} is for Helm alone: choose the cluster by kubectl config use-context, or by KUBECONFIG"
            ;;
        --dry-run | --dry-run=*) fail "name --dry-run before the --" ;;
        esac
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
        --push) need_value 'a registry' "$@" && REGISTRY=$2 && shift 2 ;;
        --platform) need_value 'a platform' "$@" && PLATFORM=$2 && shift 2 ;;
        --no-build) BUILD=false && shift ;;
        --dry-run) DRY_RUN=true && shift ;;
        --help | -h) usage && exit ;;
        --) shift && break ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_image_options
    check_namespace "$NAMESPACE"
    if [ -n "$MODEL" ]; then
        check_model "$MODEL" "$ROOT/models" # which the image has
        find_rules
    fi
    check_helm_options "$@"
    trap clean_up EXIT
    SCRATCH=$(mktemp -d)
    need helm
    $DRY_RUN || need curl
    find_cluster
    check_helm_cluster
    if $BUILD; then
        choose_way
        choose_platform
        name_image
        step "building $IMAGE" build_image
        if [ "$WAY" != stays ]; then step "bringing it to ${REGISTRY:-$CONTEXT}" bring_image; fi
    else
        keep_image "$@"
    fi
    find_prometheus
    step "installing release $RELEASE in namespace $NAMESPACE" install_chart "$@"
    step "asking for a prediction" try_prediction
}

main "$@"
