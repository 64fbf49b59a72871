#!/usr/bin/env bash
# Removes what deploy-monitoring.sh made; with --purge its volumes, too.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
NAMESPACE=mlops
PURGE=false
DRY_RUN=false
PART_OF=app.kubernetes.io/part-of=heart-disease-monitoring
KINDS=deployments,services,configmaps,serviceaccounts,roles,rolebindings,pods

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"
# shellcheck source=scripts/cluster.sh
. "$ROOT/scripts/cluster.sh"

usage() {
    cat <<EOF
usage: monitoring/cleanup-monitoring.sh [--namespace NAME] [--purge] [--dry-run]

Removes Prometheus, Alertmanager and Grafana. Safe to repeat. The API and everything else stay as they are.

  --namespace NAME   where they are ($NAMESPACE)
  --purge            remove their volumes and Grafana's password, too, and so all history and silences
  --dry-run          say what would be removed
EOF
}

# Prints the names of what is labelled as ours, one a line.
list() {
    kubectl get "$1" --namespace "$NAMESPACE" --selector "$PART_OF" --output name ||
        fail "the cluster did not list what is installed in namespace $NAMESPACE"
}

main() {
    local kept
    while [ $# -gt 0 ]; do
        case $1 in
        --namespace) need_value 'a name' "$@" && NAMESPACE=$2 && shift 2 ;;
        --purge) PURGE=true && shift ;;
        --dry-run) DRY_RUN=true && shift ;;
        --help | -h) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_namespace "$NAMESPACE"
    find_cluster
    if $PURGE; then KINDS=$KINDS,persistentvolumeclaims,secrets; fi
    if $DRY_RUN; then
        list "$KINDS" | sed 's/^/would remove: /'
        return
    fi
    kubectl delete "$KINDS" --namespace "$NAMESPACE" --selector "$PART_OF" --wait ||
        fail "not all of it was removed from namespace $NAMESPACE; run this again"
    kubectl wait pods --for=delete --namespace "$NAMESPACE" --selector "$PART_OF" --timeout=90s ||
        fail "its pods were not gone within 90 s: kubectl get pods --namespace $NAMESPACE --selector $PART_OF"
    if ! $PURGE; then
        kept=$(list persistentvolumeclaims)
        echo "kept, until --purge: ${kept//$'\n'/ }"
    fi
}

main "$@"
