# shellcheck shell=bash disable=SC2034  # what is found here is read elsewhere
# Read by deploy.sh, after cluster.sh: finds what builds the image, for which nodes, and how they get it.

# What choose_way finds: the tool that builds, its COMMAND, and how the image reaches the nodes from there.
BUILDER=
WAY=
# One line a node: name, architecture, runtime, version.
NODES=
ARCHITECTURE=

find_nodes() {
    NODES=$(kubectl get nodes --selector kubernetes.io/os=linux --output 'jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.architecture} {.status.nodeInfo.containerRuntimeVersion} {.status.nodeInfo.kubeletVersion}{"\n"}{end}') ||
        { [ -n "$PLATFORM" ] && NODES=; } ||
        fail "the cluster does not list its nodes: with --push REGISTRY name their platform, too, such as --platform linux/amd64"
}

# Decided before anything is built.
choose_way() {
    find_nodes
    if [ -n "$REGISTRY" ]; then
        WAY=push && use_builder_here
        return
    fi
    case $KIND in
    minikube) WAY=stays BUILDER=minikube COMMAND=(minikube) && need minikube ;;
    docker-desktop) WAY=stays && use_docker desktop-linux ;;
    orbstack) WAY=stays && use_docker orbstack ;;
    rancher-desktop | colima) WAY=stays && use_engine_of_nodes ;;
    kind | k3d | microk8s) WAY=$KIND && need "$KIND" && use_builder_here ;;
    *) choose_own_node && use_builder_here ;;
    esac
}

# A cluster without a name that tells its kind gets the image only where this machine is all of it.
choose_own_node() {
    local host _ version
    if [ -n "${CONTAINERD_ADDRESSES:-}" ]; then
        WAY=containerd && need ctr
        return
    fi
    host=$(echo "$HOSTNAME" | tr '[:upper:]' '[:lower:]')
    read -r _ _ _ version <<<"$NODES"
    case $NODES in
    *$'\n'*) ;;
    "$host "* | "${host%%.*} "*)
        case $version in
        *+k3s*) WAY=k3s && need k3s ;;
        *) WAY=containerd && need ctr ;;
        esac
        return
        ;;
    esac
    fail "the nodes of context '$CONTEXT' take no image from this machine: name a registry that they pull from with --push REGISTRY, or an image that they have with --no-build -- --set image.repository=..."
}

use_builder_here() {
    if docker version --format '{{.Server.Arch}}' >/dev/null 2>&1; then
        BUILDER=docker COMMAND=(docker)
    elif command -v buildah >/dev/null; then
        BUILDER=buildah COMMAND=(buildah)
    else
        fail "neither a running Docker nor buildah is here to build the image; start Docker, or use --no-build"
    fi
}

# use_docker NAME: the engine whose images the nodes see, which need not be the one that docker uses by itself.
use_docker() {
    need docker
    BUILDER=docker COMMAND=(docker)
    if docker context inspect "$1" >/dev/null 2>&1; then COMMAND=(docker --context "$1"); fi
    "${COMMAND[@]}" version --format '{{.Server.Arch}}' >/dev/null 2>&1 ||
        fail "the Docker engine of context '$CONTEXT' does not answer; start it, or use --no-build"
}

use_engine_of_nodes() {
    local engine=$KIND
    if [ "$KIND" = colima ] && [ "$PROFILE" != default ]; then engine=colima-$PROFILE; fi
    case $NODES in
    *' docker://'*) use_docker "$engine" && return ;;
    esac
    BUILDER=nerdctl
    if [ "$KIND" = colima ]; then
        need colima && COMMAND=(colima nerdctl --profile "$PROFILE" -- --namespace k8s.io)
    else
        need nerdctl && COMMAND=(nerdctl --namespace k8s.io)
    fi
}

# Prints the nodes' architectures, each once.
architectures() {
    local architecture _ found=' '
    while read -r _ architecture _; do
        case $found in
        *" $architecture "*) ;;
        *) found="$found$architecture " ;;
        esac
    done <<<"$NODES"
    found=${found# }
    echo "${found% }"
}

# What builds inside of the cluster builds for it.
builder_platform() {
    local architecture
    case $BUILDER in
    docker) architecture=$("${COMMAND[@]}" version --format '{{.Server.Arch}}') ;;
    buildah) architecture=$(buildah info --format '{{.host.arch}}') ;;
    *) architecture=$(architectures) ;;
    esac || fail "$BUILDER does not tell for which architecture it builds"
    echo "linux/$architecture"
}

# Sets PLATFORM to that of the nodes, and leaves it empty where the builder builds for it anyway: a Mac builds arm64, which
# amd64 nodes cannot run. Where the nodes differ, ARCHITECTURE says which of them get the pods.
choose_platform() {
    local architectures builder
    architectures=$(architectures)
    case $PLATFORM:$architectures in
    :) fail "the cluster has no node yet that tells its architecture: name it with --platform, such as linux/amd64" ;;
    :*' '*) fail "the nodes have several architectures, $architectures: name the one to use, such as --platform linux/amd64" ;;
    :*) PLATFORM=linux/$architectures ;;
    *:*' '*) ARCHITECTURE=${PLATFORM#linux/} ARCHITECTURE=${ARCHITECTURE%%/*} ;;
    esac
    builder=$(builder_platform)
    if [ "$PLATFORM" = "$builder" ]; then
        PLATFORM=
        return
    fi
    case $BUILDER in
    buildah) ;;
    docker)
        docker buildx version >/dev/null 2>&1 ||
            fail "docker needs buildx to build $PLATFORM on $builder; install docker-buildx-plugin"
        ;;
    *) fail "$BUILDER builds for $builder here, not for $PLATFORM; leave --platform out, or use --push REGISTRY" ;;
    esac
}
