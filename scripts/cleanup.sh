#!/usr/bin/env bash
# Removes what deploy.sh made: the release, and with --purge its namespace if nothing else is in it.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
RELEASE=heart-disease-api
NAMESPACE=mlops
PURGE=false
DRY_RUN=false

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"
# shellcheck source=scripts/cluster.sh
. "$ROOT/scripts/cluster.sh"

usage() {
    cat <<EOF
usage: scripts/cleanup.sh [--namespace NAME] [--purge] [--dry-run]

Uninstalls the release $RELEASE. Safe to repeat. Nothing else is touched.

  --namespace NAME   where it is installed ($NAMESPACE)
  --purge            remove the namespace, too, if nothing is left in it; outcomes and their keys, which the chart keeps,
                     are something: remove them yourself first
  --dry-run          say what would be done
EOF
}

# Helm's own --ignore-not-found would also pass over a question that the cluster did not answer.
uninstall() {
    local said
    said=$(helm uninstall "$RELEASE" --namespace "$NAMESPACE" --wait 2>&1) || case $said in
    *"Release not loaded: $RELEASE: release: not found"*) said="release $RELEASE is not installed in namespace $NAMESPACE" ;;
    *) fail "Helm could not uninstall $RELEASE; nothing else was removed: $said" ;;
    esac
    echo "$said"
}

# Prints the kinds to look for, with commas: all but those that Kubernetes fills by itself, beside others' objects.
kinds() {
    local kind kinds='' listed
    listed=$(kubectl api-resources --verbs=list --namespaced --output name) || return 1
    for kind in $listed; do
        case $kind in
        events | events.events.k8s.io | endpoints | endpointslices.discovery.k8s.io | leases.coordination.k8s.io) ;;
        *.metrics.k8s.io) ;;
        *) kinds=$kinds,$kind ;;
        esac
    done
    [ -n "$kinds" ] && echo "${kinds#,}"
}

# Prints what the namespace holds besides what Kubernetes puts into each.
content() {
    local kinds objects tokens object held=''
    kinds=$(kinds) || fail "the cluster did not name all its kinds of objects: namespace $NAMESPACE is kept"
    objects=$(kubectl get "$kinds" --namespace "$NAMESPACE" --output name) ||
        fail "the cluster did not list all objects of namespace $NAMESPACE: it is kept"
    tokens=$(kubectl get secrets --namespace "$NAMESPACE" --output name \
        --field-selector type=kubernetes.io/service-account-token) ||
        fail "the cluster did not list the Secrets of namespace $NAMESPACE: it is kept"
    for object in $objects; do
        case $object in
        configmap/kube-root-ca.crt | serviceaccount/default) continue ;;
        secret/default-token-?????) case " ${tokens//$'\n'/ } " in *" $object "*) continue ;; esac ;;
        esac
        held="$held $object"
    done
    echo "${held# }"
}

purge_namespace() {
    local found held
    found=$(kubectl get namespace "$NAMESPACE" --ignore-not-found --output name) ||
        fail "the cluster did not say whether there is a namespace $NAMESPACE: nothing else was removed"
    [ -n "$found" ] || return 0
    held=$(content)
    if $DRY_RUN; then
        echo "would remove namespace $NAMESPACE, unless anything but the release is in it; it holds: ${held:-nothing}"
    elif [ -n "$held" ]; then
        echo "namespace $NAMESPACE is kept, because it holds: $held"
    else
        kubectl delete namespace "$NAMESPACE" --wait || fail "namespace $NAMESPACE was not removed; run this again"
    fi
}

main() {
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
    if $PURGE; then
        case $NAMESPACE in default | kube-*) fail "namespace $NAMESPACE is Kubernetes' own and never purged" ;; esac
    fi
    need helm
    find_cluster
    check_helm_cluster
    if $DRY_RUN; then
        echo "would run: helm uninstall $RELEASE --namespace $NAMESPACE --wait"
    else
        uninstall
        # Helm does not wait for pods that are still draining
        kubectl wait pods --for=delete --selector "app.kubernetes.io/instance=$RELEASE" --namespace "$NAMESPACE" \
            --timeout=60s || fail "the release's pods were not gone within 60 s; nothing else was removed: run this again"
    fi
    if $PURGE; then purge_namespace; fi
}

main "$@"
