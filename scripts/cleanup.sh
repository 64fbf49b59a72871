#!/usr/bin/env bash
# Removes what deploy.sh made: the release, and with --purge its namespace if nothing else is in it.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
RELEASE=heart-disease-api
NAMESPACE=mlops
PURGE=false
DRY_RUN=false

usage() {
    cat <<EOF
usage: scripts/cleanup.sh [--namespace NAME] [--purge] [--dry-run]

Uninstalls the release $RELEASE. Safe to repeat. Nothing else is touched.

  --namespace NAME   where it is installed ($NAMESPACE)
  --purge            remove the namespace, too, if nothing is left in it
  --dry-run          say what would be done
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
}

run() {
    if $DRY_RUN; then echo "would run: $*"; else "$@"; fi
}

purge_namespace() {
    local left
    kubectl get namespace "$NAMESPACE" >/dev/null 2>&1 || return 0
    left=$(kubectl get all,configmaps,secrets,persistentvolumeclaims --namespace "$NAMESPACE" --output name |
        grep -v '^configmap/kube-root-ca.crt$' || true)
    if [ -n "$left" ]; then
        echo "namespace $NAMESPACE is kept, because it holds: $(echo "$left" | tr '\n' ' ')"
    else
        run kubectl delete namespace "$NAMESPACE" --wait
    fi
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --namespace) NAMESPACE=${2:?--namespace needs a name} && shift 2 ;;
        --purge) PURGE=true && shift ;;
        --dry-run) DRY_RUN=true && shift ;;
        --help | -h) usage && exit ;;
        *) usage >&2 && fail "unknown option $1" ;;
        esac
    done
    # shellcheck source=/dev/null
    if [ -z "${KUBECONFIG:-}" ] && [ -f "$ROOT/.cluster/environment" ]; then . "$ROOT/.cluster/environment"; fi
    command -v helm >/dev/null || fail "helm is not installed"
    kubectl version --request-timeout=10s >/dev/null 2>&1 || fail "the cluster does not answer; is it running?"
    run helm uninstall "$RELEASE" --namespace "$NAMESPACE" --ignore-not-found --wait
    # Helm does not wait for pods that are still draining
    run kubectl wait pods --for=delete --selector "app.kubernetes.io/instance=$RELEASE" --namespace "$NAMESPACE" \
        --timeout=60s
    if $PURGE; then purge_namespace; fi
}

main "$@"
