# shellcheck shell=bash disable=SC2034  # what is found here is read elsewhere
# Read by deploy.sh, after builder.sh: builds the image, and brings it to the nodes.

DIGEST=

# Names the image, once it is known where it goes: in a registry each build has a tag of its own.
name_image() {
    local tag
    VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml")
    REVISION=$(git -C "$ROOT" describe --always --dirty 2>/dev/null || echo unknown)
    [ -n "$REGISTRY" ] || return 0
    tag=$VERSION-$REVISION
    TAG=${tag//[!A-Za-z0-9._-]/-}
    IMAGE=$REGISTRY/heart-disease-api:$TAG
}

build_image() {
    local label
    local -a options=(--tag "$IMAGE")
    if [ "$BUILDER" = minikube ]; then
        options=(--profile "$PROFILE" --tag "$IMAGE")
        case $NODES in *$'\n'*) options+=(--all) ;; esac
    fi
    for label in "version=$VERSION" "revision=$REVISION"; do
        if [ "$BUILDER" = minikube ]; then
            options+=(--build-opt "label=org.opencontainers.image.$label")
        else
            options+=(--label "org.opencontainers.image.$label")
        fi
    done
    if [ -n "${PYTHON_IMAGE:-}" ]; then
        if [ "$BUILDER" = minikube ]; then
            options+=(--build-opt "build-arg=PYTHON_IMAGE=$PYTHON_IMAGE")
        else
            options+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
        fi
    fi
    if [ -n "$PLATFORM" ]; then options+=(--platform "$PLATFORM"); fi
    case $BUILDER:$PLATFORM in
    minikube:*) run minikube image build "${options[@]}" "$ROOT" ;;
    buildah:*) run buildah build --layers --pull=false "${options[@]}" "$ROOT" ;;
    docker:?*) run "${COMMAND[@]}" buildx build --load "${options[@]}" "$ROOT" ;;
    *) run "${COMMAND[@]}" build "${options[@]}" "$ROOT" ;;
    esac
}

bring_image() {
    local address archive=$SCRATCH/image.tar source=$IMAGE
    local -a addresses
    if [ "$WAY" = push ]; then
        push_image
        return
    fi
    # kind and k3d take an image out of Docker by themselves
    case $WAY:$BUILDER in
    kind:docker | k3d:docker) ;;
    *) source=$archive && save_image "$archive" ;;
    esac
    case $WAY:$BUILDER in
    kind:docker) run kind load docker-image "$source" --name "$PROFILE" ;;
    kind:*) run kind load image-archive "$source" --name "$PROFILE" ;;
    k3d:*) run k3d image import "$source" --cluster "$PROFILE" ;;
    microk8s:*) run microk8s images import "$source" ;;
    k3s:*) run k3s ctr images import "$source" ;;
    containerd:*)
        read -r -a addresses <<<"${CONTAINERD_ADDRESSES:-/run/containerd/containerd.sock}"
        for address in "${addresses[@]}"; do
            run ctr --address "$address" --namespace k8s.io images import "$source"
        done
        ;;
    esac
    rm -f "$archive"
}

# The name in the archive is the one that Kubernetes looks for.
save_image() {
    if [ "$BUILDER" = docker ]; then
        run "${COMMAND[@]}" save --output "$1" "$IMAGE"
    else
        run buildah push "$IMAGE" "docker-archive:$1:docker.io/library/$IMAGE"
    fi
}

# The nodes get the digest: a tag may be pushed again, and a node would go on with what it has under that name.
push_image() {
    local output
    local -a options=()
    if [ "$BUILDER" = buildah ]; then
        options=(--digestfile "$SCRATCH/digest")
        # as Docker does, which trusts a registry on this machine
        case $REGISTRY in localhost:* | localhost/* | 127.*) options+=(--tls-verify=false) ;; esac
    fi
    set -- "${COMMAND[@]}" push ${options[@]+"${options[@]}"} "$IMAGE"
    if $DRY_RUN; then
        run "$@"
        DIGEST='(the digest that the registry tells)'
        return
    fi
    output=$("$@" 2>&1) || fail "$* failed; is this machine logged in to the registry ($BUILDER login)? $output"
    if [ "$BUILDER" = buildah ]; then output="digest: $(cat "$SCRATCH/digest" 2>/dev/null)" || true; fi
    DIGEST=$(echo "$output" | sed -n 's/.*digest: \(sha256:[0-9a-f]\{64\}\).*/\1/p')
    [ -n "$DIGEST" ] || fail "$* did not tell the image's digest: $output"
}

# With --no-build a release goes on with the image of a registry that it runs, unless an option of helm names one.
keep_image() {
    local found image
    case " $*" in
    *[\ ,]image[.=]* | *" --set="image[.=]* | *" --set-string="image[.=]* | *" --set-json="image[.=]*) return ;;
    *' -f'* | *' --values'*) return ;;
    esac
    found=$(kubectl get deployment "$RELEASE" --namespace "$NAMESPACE" --ignore-not-found --output \
        'jsonpath={.spec.template.spec.containers[?(@.name=="api")].image} {.spec.template.spec.nodeSelector.kubernetes\.io/arch}') ||
        fail "the cluster does not tell which image release $RELEASE runs"
    read -r image ARCHITECTURE <<<"$found"
    case $image in
    */heart-disease-api@sha256:*) REGISTRY=${image%/heart-disease-api@*} DIGEST=${image##*@} ;;
    *) ARCHITECTURE='' ;;
    esac
}
