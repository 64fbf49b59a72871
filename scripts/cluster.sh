# shellcheck shell=bash
# Read by the scripts, after arguments.sh: which cluster kubectl talks to, of which kind it is, and where its ports answer.

# Sets CONTEXT, KIND and PROFILE. The development cluster of `make cluster` is used where no other is asked for.
find_cluster() {
    local said
    # shellcheck source=/dev/null
    if [ -z "${KUBECONFIG:-}" ] && [ -f "$ROOT/.cluster/environment" ]; then . "$ROOT/.cluster/environment"; fi
    need kubectl
    CONTEXT=$(kubectl config current-context 2>/dev/null) ||
        fail "kubectl has no current context; start a cluster (minikube start) or choose one (kubectl config use-context)$OTHERWISE"
    said=$(kubectl version --request-timeout=10s 2>&1 >/dev/null) ||
        fail "the cluster of context '$CONTEXT' does not answer; is it running?$OTHERWISE kubectl says: $(without_log <<<"$said")"
    find_kind
}

# Prints the first line that is no line of kubectl's log.
without_log() {
    sed -n '/^[EWI][0-9]/!{p;q;}'
}

# Helm goes where these say, and kubectl does not.
check_helm_cluster() {
    [ "${HELM_KUBECONTEXT:-$CONTEXT}" = "$CONTEXT" ] ||
        fail "HELM_KUBECONTEXT names another cluster to Helm than kubectl's context '$CONTEXT': unset it"
    [ -z "${HELM_KUBEAPISERVER:-}" ] || fail "HELM_KUBEAPISERVER may name another cluster to Helm than to kubectl: unset it"
}

# Each tool names the context and its cluster; minikube calls both as the profile, and marks them in the kubeconfig.
find_kind() {
    local found marks cluster name
    found=$(kubectl config view --minify --output \
        'jsonpath={.clusters[0].cluster.extensions[*].extension.provider}|{.clusters[0].name}') ||
        fail "kubectl does not tell the cluster of context '$CONTEXT'"
    marks=${found%%|*}
    cluster=${found#*|}
    case " $marks " in
    *' minikube.sigs.k8s.io '*) KIND=minikube PROFILE=$cluster && return ;;
    esac
    for name in "$CONTEXT" "$cluster"; do
        PROFILE=
        case $name in
        minikube) KIND=minikube PROFILE=minikube ;;
        kind-?*) KIND=kind PROFILE=${name#kind-} ;;
        k3d-?*) KIND=k3d PROFILE=${name#k3d-} ;;
        docker-desktop | rancher-desktop | orbstack) KIND=$name ;;
        colima) KIND=colima PROFILE=default ;;
        colima-?*) KIND=colima PROFILE=${name#colima-} ;;
        microk8s | microk8s-cluster) KIND=microk8s ;;
        *) KIND=other && continue ;;
        esac
        return
    done
}

# Prints the hosts at which a node's port may answer, three nodes at most, because a silent one costs seconds. Who may not
# list the nodes forwards a port.
node_hosts() {
    local address addresses count=0
    case $KIND in docker-desktop | rancher-desktop | colima | orbstack) echo localhost ;; esac
    addresses=$(kubectl get nodes --output 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}') ||
        addresses=
    for address in $addresses; do
        case $address in *:*) continue ;; esac
        [ "$count" -lt 3 ] || break
        count=$((count + 1))
        echo "$address"
    done
}

# print_ways SERVICE PORTS [PATH]: how to reach a service where no node's port answers.
print_ways() {
    if [ "$KIND" = minikube ]; then echo "  minikube service $1 --namespace $NAMESPACE --profile $PROFILE --url"; fi
    echo "  kubectl port-forward --namespace $NAMESPACE service/$1 $2    # then http://127.0.0.1:${2%%:*}${3-}"
}
