#!/usr/bin/env bash
# The alert lab on the churn stack: makes alerts pend, fire and resolve, and waits to see each in Prometheus and Alertmanager.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
API=
PROMETHEUS=
ALERTMANAGER=
SERVICES=
KEEP=true
STREAM=
ROW='{"tenure":12,"MonthlyCharges":59.95,"TotalCharges":720.50,"Contract":"One year","PaymentMethod":"Electronic check",
"OnlineSecurity":"No","TechSupport":"No","InternetService":"DSL","gender":"Female","SeniorCitizen":"No","Partner":"Yes",
"Dependents":"No","PhoneService":"Yes","MultipleLines":"No","PaperlessBilling":"Yes","OnlineBackup":"Yes",
"DeviceProtection":"No","StreamingTV":"No","StreamingMovies":"No"}'

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"

usage() {
    cat <<EOF
usage: scripts/alert-demo.sh [--without-grafana] [--down]

Starts the churn stack with the demo alerts, and makes alerts happen, about five minutes long: docs/alert-demo.md tells each step.

  --without-grafana   leave Grafana out
  --down              stop the stack at the end; its volumes stay
EOF
}

say() {
    printf '\n==> %s\n' "$*"
}

compose() {
    docker compose --project-directory "$ROOT/compose/churn" \
        --file "$ROOT/compose/churn/docker-compose.yml" --file "$ROOT/compose/churn/docker-compose.lab.yml" "$@"
}

clean_up() {
    if [ -n "$STREAM" ]; then kill "$STREAM" 2>/dev/null || true; fi
    if ! $KEEP; then compose down; fi
}

# Prints inactive, pending or firing.
state_in_prometheus() {
    local answer
    answer=$(curl --silent --max-time 5 --get "$PROMETHEUS/api/v1/query" --data-urlencode "query=ALERTS{alertname=\"$1\"}")
    case $answer in
    *'"alertstate":"firing"'*) echo firing ;;
    *'"alertstate":"pending"'*) echo pending ;;
    *'"result":[]'*) echo inactive ;;
    *) echo unknown ;;
    esac
}

# Prints firing or inactive.
state_in_alertmanager() {
    local answer
    answer=$(curl --silent --max-time 5 --get "$ALERTMANAGER/api/v2/alerts" --data-urlencode "filter=alertname=\"$1\"")
    case $answer in
    '[]'*) echo inactive ;;
    '['*) echo firing ;;
    *) echo unknown ;;
    esac
}

# Waits until an alert is in a state, at most so many seconds; shows the states that it passes.
await() {
    local alert=$1 wanted=$2 limit=$3 start=$SECONDS state last=''
    while true; do
        state=$(state_in_prometheus "$alert")
        if [ "$state" != "$last" ]; then
            printf '    %3d s  %-20s %s\n' $((SECONDS - start)) "$alert" "$state"
            last=$state
        fi
        if [ "$state" = "$wanted" ]; then
            case $wanted in
            pending) return ;;
            *) if [ "$(state_in_alertmanager "$alert")" = "$wanted" ]; then break; fi ;;
            esac
        fi
        # what is awaited as pending may be firing already
        if [ "$wanted" = pending ] && [ "$state" = firing ]; then return; fi
        [ $((SECONDS - start)) -lt "$limit" ] || fail "$alert was not $wanted within $limit s: $PROMETHEUS/alerts"
        sleep 1
    done
    printf '    %3d s  %-20s %s in Alertmanager\n' $((SECONDS - start)) "$alert" "$wanted"
}

# Waits until Prometheus knows the counters: how much they rose before that, it cannot tell.
await_first_scrape() {
    local start=$SECONDS
    # a question that fails is asked again
    until [[ $(curl --silent --max-time 5 --get "$PROMETHEUS/api/v1/query" --data-urlencode 'query=ml_predictions_total') == \
        *'"__name__"'* ]]; do
        [ $((SECONDS - start)) -lt 60 ] || fail "Prometheus did not scrape the API within 60 s: $PROMETHEUS/targets"
        sleep 1
    done
}

# Sends a body to a version; the status must be the one expected.
predict() {
    local version=$1 body=$2 expected=$3 status
    status=$(curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$API/$version/predict" \
        --header 'Content-Type: application/json' --data "$body") || true
    [ "$status" = "$expected" ] || fail "$API/$version/predict answered $status, not $expected"
}

stream() {
    while true; do
        curl --silent --max-time 10 --output /dev/null "$API/v2/predict" --header 'Content-Type: application/json' \
            --data "$ROW" || true
        sleep 0.5
    done
}

# From the variables that choose the stack's ports: compose/README.md.
find_addresses() {
    API=http://127.0.0.1:${API_PORT:-5000}
    PROMETHEUS=http://127.0.0.1:${PROMETHEUS_PORT:-9090}
    ALERTMANAGER=http://127.0.0.1:${ALERTMANAGER_PORT:-9093}
    check_port API_PORT "${API_PORT:-5000}"
    check_port PROMETHEUS_PORT "${PROMETHEUS_PORT:-9090}"
    check_port ALERTMANAGER_PORT "${ALERTMANAGER_PORT:-9093}"
}

main() {
    local number
    while [ $# -gt 0 ]; do
        case $1 in
        --without-grafana) SERVICES='app prometheus alertmanager' && shift ;;
        --down) KEEP=false && shift ;;
        --help | -h) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
    find_addresses
    need docker
    need curl
    docker compose version >/dev/null 2>&1 || fail "docker has no compose plugin; install docker-compose-plugin"
    docker version >/dev/null 2>&1 || fail "the Docker engine does not answer; is it running?"
    trap clean_up EXIT
    say "starting the churn stack with the demo alerts"
    # shellcheck disable=SC2086  # one word a service
    compose up --detach --wait $SERVICES || fail "the churn stack did not become healthy; docker compose logs says why"
    await_first_scrape
    await DemoHighErrorCount inactive 180
    await DemoHighRequestRate inactive 120

    say "five invalid requests: DemoHighErrorCount"
    for number in 1 2 3 4 5; do predict v1 '{"tenure":"long"}' 422; done
    await DemoHighErrorCount pending 60
    await DemoHighErrorCount firing 60

    say "thirty valid requests, and a steady stream: DemoHighRequestRate"
    for ((number = 0; number < 30; number++)); do predict v2 "$ROW" 200; done
    stream &
    STREAM=$!
    await DemoHighRequestRate pending 90
    await DemoHighRequestRate firing 120
    kill "$STREAM"
    STREAM=

    say "the API is stopped: APIDown"
    compose stop app || fail "the API could not be stopped"
    await APIDown pending 60
    await APIDown firing 120

    say "it is started again: everything resolves"
    compose start app || fail "the API could not be started again"
    await APIDown inactive 120
    await DemoHighRequestRate inactive 180
    await DemoHighErrorCount inactive 240

    say "done: $PROMETHEUS/alerts and $ALERTMANAGER show it; docker compose down in compose/churn stops it"
}

main "$@"
