#!/usr/bin/env bash
# Starts a stack and waits until it is healthy: checks first what would fail later, and prints the addresses.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=scripts/arguments.sh
. "$HERE/../scripts/arguments.sh"

usage() {
    cat <<EOF
usage: compose/up.sh STACK [SERVICE ...]

Starts a stack ($(stacks)), or some of its services, waits until they are healthy, and prints their addresses.
The stack "model" serves the folder of models/ that MODEL names.
Settings are environment variables: README.md in compose/.
EOF
}

stacks() {
    local file names=''
    for file in "$HERE"/*/docker-compose.yml; do names="$names $(basename "$(dirname "$file")")"; done
    echo "${names# }"
}

# Prints "SERVICE ADDRESS PORT" for each port that the stack will publish.
published() {
    docker compose config "$@" | awk '
        /^services:/ { inside = 1; next }
        /^[a-z]/ { inside = 0 }
        inside && /^  [a-z]/ { service = $1; sub(/:$/, "", service) }
        inside && $1 == "host_ip:" { address = $2 }
        inside && $1 == "published:" { gsub(/"/, "", $2); print service, address, $2 }'
}

variable_of() {
    case $1 in
    prometheus | grafana | alertmanager | mlflow) echo "$(echo "$1" | tr '[:lower:]' '[:upper:]')_PORT" ;;
    *) echo API_PORT ;;
    esac
}

# Rejects options of docker compose among the services: one may write to a file.
check_services() {
    local service services
    services=$(docker compose --profile '*' config --services) || fail "docker compose cannot read the stack, as it says above"
    for service in "$@"; do
        case $'\n'$services$'\n' in
        *$'\n'"$service"$'\n'*) ;;
        *) fail "the stack has no such service; it has ${services//$'\n'/ }" ;;
        esac
    done
}

# Docker would make an empty folder in the place of one that is missing.
check_folder() {
    local LC_ALL=C name='^[a-z][a-z0-9-]*$' models=${MODELS_DIR:-$HERE/../models}
    [[ ${MODEL-} =~ $name ]] || fail "name a folder of models/, such as MODEL=iris"
    check_model "$MODEL" "$models"
    monitor_model "$(cd "$models/$MODEL" && pwd)"
}

# Rules are shipped for the default names and those of the shipped models; a [metrics] section has others.
monitor_model() {
    local own=$1/monitoring shipped
    for shipped in "$HERE/$MODEL/dashboards/$MODEL.json" "$HERE/../monitoring/grafana-dashboard.json"; do
        if [ -f "$HERE/../helm-charts/heart-disease-api/files/rules/$MODEL.yaml" ] && [ -f "$shipped" ]; then
            export MODEL_DASHBOARD=$shipped
            return
        fi
    done
    grep -q '^ *\[metrics' "$1/model.toml" || return 0
    [ -f "$own/rules.yaml" ] || fail "models/$MODEL has [metrics]: make rules MODEL=$MODEL writes its alerts and its dashboard"
    export MODEL_RULES=$own/rules.yaml MODEL_DASHBOARD=$own/dashboard.json
}

# check_ports "SERVICE ADDRESS PORT, one a line"
check_ports() {
    local service address port running
    running=$(docker compose ps --services --status running) || fail "docker compose does not say what runs"
    while read -r service address port; do
        [ -n "$port" ] || continue
        case $'\n'$running$'\n' in *$'\n'"$service"$'\n'*) continue ;; esac
        if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then
            fail "port $port for $service is in use: stop what listens there, or choose another with $(variable_of "$service")=..."
        fi
    done <<<"$1"
}

main() {
    local stack=${1:-} ports service address port
    case $stack in
    '' | --help | -h) usage && exit ;;
    esac
    shift
    case " $(stacks) " in
    *" ${stack// /+} "*) ;;
    *) fail "there is no stack '$stack'; there is $(stacks)" ;;
    esac
    if [ "$stack" = model ]; then check_folder; fi
    command -v docker >/dev/null || fail "docker is needed and not installed"
    docker compose version >/dev/null 2>&1 || fail "docker has no compose plugin; install docker-compose-plugin"
    docker version >/dev/null 2>&1 || fail "the Docker engine does not answer; is it running?"
    cd "$HERE/$stack"
    check_services "$@"
    ports=$(published "$@") || fail "docker compose does not say which ports the stack has, as it says above"
    check_ports "$ports"
    docker compose up --detach --wait "$@" || fail "the stack did not become healthy; docker compose logs in $HERE/$stack says why"
    while read -r service address port; do
        [ -z "$port" ] || echo "$service: http://$address:$port"
    done <<<"$ports"
}

main "$@"
