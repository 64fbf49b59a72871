#!/usr/bin/env bash
# Stands in for minikube, whose images are not available on a machine without an image registry: under its name and with its
# arguments it builds images and loads them into the nodes of the test cluster; for kind and k3d where nothing is loaded.
set -euo pipefail

give_to_nodes() {
    local folder address
    folder=$(mktemp -d)
    buildah push --quiet "$1" "docker-archive:$folder/image.tar:docker.io/library/$1"
    for address in $CONTAINERD_ADDRESSES; do
        ctr --address "$address" --namespace k8s.io images import "$folder/image.tar"
    done
    rm -r "$folder"
}

main() {
    case "$(basename "$0") $1 $2" in
    "minikube image build")
        shift 2
        local image options=()
        while [ $# -gt 1 ]; do
            case $1 in
            --tag) image=$2 ;;
            --all) shift && continue ;;
            --build-opt) options+=("--$2") ;;
            esac
            shift 2
        done
        buildah build --layers --pull-never --tag "$image" "${options[@]}" "$1"
        give_to_nodes "$image"
        ;;
    *) echo "the stand-in does not know: $(basename "$0") $*" >&2 && exit 2 ;;
    esac
}

main "$@"
