#!/usr/bin/env bash
# Removes what deploy-monitoring.sh made; with --purge its volumes, too.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
NAMESPACE=mlops
PURGE=false
DRY_RUN=false
PART_OF=app.kubernetes.io/part-of=heart-disease-monitoring
KINDS=deployments,services,configmaps,serviceaccounts,roles,rolebindings,pods

usage() {
    cat <<EOF
usage: monitoring/cleanup-monitoring.sh [--namespace NAME] [--purge] [--dry-run]

Removes Prometheus, Alertmanager and Grafana. Safe to repeat. The API and everything else stay as they are.

  --namespace NAME   where they are ($NAMESPACE)
  --purge            remove their volumes and Grafana's password, too, and so all history and silences
  --dry-run          say what would be removed
EOF
}

fail() {
    echo "error: $*" >&2
    exit 1
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
    command -v kubectl >/dev/null || fail "kubectl is needed and not installed"
    kubectl version --request-timeout=10s >/dev/null 2>&1 || fail "the cluster does not answer; is it running?"
    if $PURGE; then KINDS=$KINDS,persistentvolumeclaims,secrets; fi
    if $DRY_RUN; then
        kubectl get "$KINDS" --namespace "$NAMESPACE" --selector "$PART_OF" --output name | sed 's/^/would remove: /'
        return
    fi
    kubectl delete "$KINDS" --namespace "$NAMESPACE" --selector "$PART_OF" --wait
    kubectl wait pods --for=delete --namespace "$NAMESPACE" --selector "$PART_OF" --timeout=90s
    if ! $PURGE; then
        echo "kept, until --purge: $(kubectl get persistentvolumeclaims --namespace "$NAMESPACE" --selector "$PART_OF" \
            --output name | tr '\n' ' ')"
    fi
}

main "$@"
