#!/usr/bin/env bash
# Sends predictions to the API, shows how it answered, and checks that the metrics say exactly that.
# Needs curl, Python 3.11 and standard tools; bash 3.2 is enough.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/.." && pwd)
MODELS=${MODELS_DIR:-$ROOT/models}
NAMESPACE=mlops
URL=
MODEL=
REQUESTS=200
CONCURRENCY=4
ERRORS=0
SHIFT=
DURATION=
BATCH=25
SCRATCH=
FORWARD=
FORWARD_PORT=18080

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"
# shellcheck source=scripts/cluster.sh
. "$ROOT/scripts/cluster.sh"

usage() {
    cat <<EOF
usage: monitoring/test-metrics.sh [--requests N] [--duration SECONDS] [--concurrency N] [--errors PERCENT]
                                  [--shift FEATURE] [--model NAME] [--url URL] [--namespace NAME]

Sends rows like the training data to POST /predict, sums up the answers, and checks that the counters of the pods together
rose by what was sent, and that Prometheus shows it. The exit code is 0 only if all of that is so.

  --requests N        how many ($REQUESTS)
  --duration SECONDS  send for so long instead
  --concurrency N     clients at once ($CONCURRENCY)
  --errors PERCENT    share of requests that are made invalid and must get 422 ($ERRORS)
  --shift FEATURE     send drifted rows: a number 1.5 standard deviations higher (lower where its range leaves more room),
                      or the rarest value of a category; from 300 rows on, such as --requests 500, the alert
                      FeatureDrift names the feature
  --model NAME        a model that the API serves, whose folder is in models/ (the one that answers /predict)
  --url URL           the API, such as http://127.0.0.1:8000; found by kubectl otherwise
  --namespace NAME    where it is on the cluster ($NAMESPACE)
EOF
}

clean_up() {
    if [ -n "$FORWARD" ]; then kill "$FORWARD" 2>/dev/null || true; fi
    # shellcheck disable=SC2046  # one word a process
    kill $(jobs -p) 2>/dev/null || true
    if [ -n "$SCRATCH" ]; then rm -r "$SCRATCH"; fi
}

find_api() {
    local host services port
    OTHERWISE="; or name the API with --url"
    find_cluster
    services=$(kubectl get service --namespace "$NAMESPACE" --selector app=heart-disease-api \
        --output 'jsonpath={range .items[*]}{.metadata.name}:{.spec.ports[0].nodePort} {end}') ||
        fail "the cluster does not list the Services of namespace $NAMESPACE$OTHERWISE"
    [ -n "$services" ] || fail "no API in namespace $NAMESPACE; run scripts/deploy.sh$OTHERWISE"
    port=${services%% *}
    port=${port#*:}
    for host in $(node_hosts); do
        URL=http://$host:$port
        if [ -n "$port" ] && curl --silent --fail --max-time 3 --output /dev/null "$URL/health"; then return; fi
    done
    forward
}

# Another program on the port would answer in the API's place.
forward() {
    URL=http://127.0.0.1:$FORWARD_PORT
    if (exec 3<>"/dev/tcp/127.0.0.1/$FORWARD_PORT") 2>/dev/null; then
        fail "port $FORWARD_PORT, to reach the API by, is in use; stop what listens there, or name the API with --url"
    fi
    kubectl port-forward --namespace "$NAMESPACE" service/heart-disease-api "$FORWARD_PORT:http" >/dev/null &
    FORWARD=$!
    curl --silent --fail --retry 20 --retry-delay 1 --retry-connrefused --output /dev/null "$URL/health" ||
        fail "the API does not answer; kubectl get pods --namespace $NAMESPACE"
}

# Writes rows of the served model, and sets its version, its route, and the names of its counter of requests.
write_rows() {
    local described
    curl --silent --fail --max-time 5 "$URL/" >"$SCRATCH/served" || fail "$URL does not say which models it serves"
    described=$("$PYTHON" "$HERE/sample_rows.py" --models "$MODELS" --served "$SCRATCH/served" --model "$MODEL" \
        --shift "$SHIFT" --rows "$SCRATCH/rows") || exit 1
    read -r MODEL VERSION ROUTE METRIC ENDPOINT STATUS SOURCE <<<"$described"
}

find_python() {
    for PYTHON in python3 "$ROOT/.venv/bin/python" python3.14 python3.13 python3.12 python3.11; do
        if "$PYTHON" -c 'import tomllib' 2>/dev/null; then return; fi
    done
    fail "Python 3.11 or newer is needed, which reads the model's rows: install python3"
}

# Prints a configuration for curl: COUNT requests from FIRST on, one after the other on one connection.
curl_requests() {
    awk -F '\t' -v first="$1" -v count="$2" -v errors="$ERRORS" -v url="$URL$ROUTE" '
        { rows[NR - 1] = $1; invalid[NR - 1] = $2 }
        END {
            for (i = first; i < first + count; i++) {
                # spread evenly: a request is invalid where the running share passes a whole number
                wrong = int((i + 1) * errors / 100) > int(i * errors / 100)
                if (i > first) print "next"
                print "url = \"" url "\""
                print "header = \"Content-Type: application/json\""
                print "data = " (wrong ? invalid[i % NR] : rows[i % NR])
                print "output = \"/dev/null\""
                print "silent"
                print "max-time = 10"
                print "write-out = \"" (wrong ? 422 : 200) " %{http_code} %{time_total}\\n\""
            }
        }' "$SCRATCH/rows"
}

# One client: its share of the requests, in batches, until its number or the time is used up.
client() {
    local number=$1 left=$2 sent=0 size first
    while [ "$left" -gt 0 ] && { [ -z "$DURATION" ] || [ $SECONDS -lt "$DURATION" ]; }; do
        size=$((left < BATCH ? left : BATCH))
        first=$(((number * 7919) + sent))
        if [ -z "$DURATION" ]; then first=$((number * (REQUESTS / CONCURRENCY) + sent)); fi
        curl_requests "$first" "$size" >"$SCRATCH/requests.$number"
        # a failed request has its line, and is known by its status
        curl --config "$SCRATCH/requests.$number" >>"$SCRATCH/answers.$number" 2>/dev/null || true
        sent=$((sent + size))
        if [ -z "$DURATION" ]; then left=$((left - size)); fi
    done
}

answered() {
    cat "$SCRATCH"/answers.* 2>/dev/null | wc -l | tr -d ' '
}

show_progress() {
    local done_share count
    count=$(answered)
    if [ -n "$DURATION" ]; then done_share=$((SECONDS * 40 / DURATION)); else done_share=$((count * 40 / REQUESTS)); fi
    if [ "$done_share" -gt 40 ]; then done_share=40; fi
    printf '\r[%-40s] %s answers' "$(printf '%*s' "$done_share" '' | tr ' ' '#')" "$count" >&2
}

send() {
    local number share extra
    local -a pids
    share=$((REQUESTS / CONCURRENCY))
    extra=$((REQUESTS % CONCURRENCY))
    SECONDS=0
    for ((number = 0; number < CONCURRENCY; number++)); do
        : >"$SCRATCH/answers.$number"
        client "$number" $((number == CONCURRENCY - 1 ? share + extra : share)) &
        pids+=($!)
    done
    while kill -0 "${pids[@]}" 2>/dev/null; do
        if [ -t 2 ]; then show_progress; fi
        sleep 0.2
    done
    wait "${pids[@]}"
    if [ -t 2 ]; then show_progress && echo >&2; fi
    TOOK=$((SECONDS > 0 ? SECONDS : 1))
    cat "$SCRATCH"/answers.* >"$SCRATCH/answers"
}

# Exit code 1 where an answer was not the expected one, or a request has no line.
sum_up() {
    local count
    count=$(answered)
    if [ "$count" -eq 0 ] || { [ -z "$DURATION" ] && [ "$count" -ne "$REQUESTS" ]; }; then
        echo "  only $count requests were sent: curl failed, or the disk is full"
        return 1
    fi
    sort -n -k 3 "$SCRATCH/answers" | awk -v took="$TOOK" '
        { count[$2]++; time[NR] = $3 * 1000; wrong += $1 != $2 }
        function at(share,   place) { place = int(NR * share); return time[place < 1 ? 1 : place] }
        END {
            printf "%d requests in about %d s (%d/s), latency p50 %.1f ms, p95 %.1f ms, p99 %.1f ms\n", \
                NR, took, NR / took, at(0.5), at(0.95), at(0.99)
            for (status in count) printf "  status %s: %d\n", (status == "000" ? "none" : status), count[status]
            if (wrong) printf "  %d answers are not what was expected\n", wrong
            exit wrong > 0
        }'
}

# Writes "POD STATUS COUNT" for every counter of the route, of each pod for itself.
read_counters() {
    local pod
    if [ -z "$PODS" ]; then
        curl --silent --fail --max-time 5 "$URL/metrics" >"$SCRATCH/metrics" ||
            fail "$URL/metrics cannot be read: with METRICS_PORT the API's port has none, and counters cannot be compared"
        counters_of api
        return
    fi
    for pod in $PODS; do
        metrics_of "$pod" >"$SCRATCH/metrics" || fail "the metrics of pod $pod cannot be read; run this again"
        counters_of "$pod"
    done
}

# A port of its own for metrics is asked from inside of the pod: the network policy lets only Prometheus reach it.
metrics_of() {
    local port
    port=$(kubectl get pod "$1" --namespace "$NAMESPACE" \
        --output 'jsonpath={.spec.containers[*].ports[?(@.name=="metrics")].containerPort}') || return 1
    if [ -z "$port" ]; then
        kubectl get --raw "/api/v1/namespaces/$NAMESPACE/pods/$1:8000/proxy/metrics"
    else
        kubectl exec "$1" --namespace "$NAMESPACE" -- python -c \
            "import urllib.request as r; print(r.urlopen('http://127.0.0.1:$port/metrics', timeout=5).read().decode())"
    fi
}

# A metric without a label for the route counts all requests; one without the status has "any".
counters_of() {
    awk -v pod="$1" -v metric="$METRIC" -v endpoint="$ENDPOINT" -v status="$STATUS" -v route="$ROUTE" '
        index($0, metric "{") != 1 && $1 != metric { next }
        endpoint != "-" && $0 !~ ("[{,]" endpoint "=\"" route "\"") { next }
        status == "-" { print pod, "any", $NF; next }
        match($0, "[{,]" status "=\"[0-9]+") { print pod, substr($0, RSTART + RLENGTH - 3, 3), $NF }
    ' "$SCRATCH/metrics"
}

# Pods that are being deleted still count as running, and may be gone before they are read.
list_pods() {
    kubectl get pods --namespace "$NAMESPACE" --selector app=heart-disease-api --field-selector status.phase=Running \
        --output 'go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}' ||
        fail "the cluster does not list the pods of namespace $NAMESPACE"
}

# Compares how the counters rose with the answers; more is other clients' traffic, less is a failure.
check_counters() {
    local pods
    pods=$(if [ -n "$PODS" ]; then list_pods; fi) || return 1
    if [ "$pods" != "$PODS" ]; then
        echo "pods came or went meanwhile: their counters cannot be compared"
        return 1
    fi
    read_counters >"$SCRATCH/after"
    awk -v by_status="$STATUS" '
        function with(status) { return status == "any" ? "with any status" : "with status " status }
        FILENAME ~ /answers$/ { if ($2 != "000") sent[by_status == "-" ? "any" : $2]++; next }
        FILENAME ~ /before$/ { rose[$2] -= $3; next }
        { rose[$2] += $3 }
        END {
            for (status in sent) {
                if (rose[status] == sent[status]) printf "counters: %d %s, as sent\n", rose[status], with(status)
                else if (rose[status] > sent[status])
                    printf "counters: %d %s: %d as sent, and other clients'"'"' %d\n", \
                        rose[status], with(status), sent[status], rose[status] - sent[status]
                else { printf "counters: only %d %s of %d sent\n", rose[status], with(status), sent[status]; less = 1 }
            }
            exit less
        }' "$SCRATCH/answers" "$SCRATCH/before" "$SCRATCH/after"
}

# Waits until Prometheus' sum over the pods is no less than that of their counters.
check_prometheus() {
    local found want shown='' query="app%3D%22heart-disease-api%22" try
    if [ "$ENDPOINT" != - ]; then query+="%2C$ENDPOINT%3D%22${ROUTE//\//%2F}%22"; fi
    query="sum($METRIC%7B$query%7D)"
    found=$(kubectl get service prometheus --namespace "$NAMESPACE" --ignore-not-found --output name) ||
        fail "the cluster does not say whether Prometheus is installed in namespace $NAMESPACE"
    if [ -z "$found" ]; then
        echo "Prometheus is not installed (monitoring/deploy-monitoring.sh): not checked"
        return 0
    fi
    want=$(awk '{ sum += $3 } END { print sum + 0 }' "$SCRATCH/after")
    # a question that fails is asked again
    for ((try = 0; try < 40; try++)); do
        shown=$(kubectl get --raw \
            "/api/v1/namespaces/$NAMESPACE/services/prometheus:9090/proxy/api/v1/query?query=$query" 2>/dev/null |
            sed -n 's/.*"value":\[[0-9.]*,"\([0-9.e+]*\)"\].*/\1/p')
        if [ -n "$shown" ] && awk -v a="$shown" -v b="$want" 'BEGIN { exit !(a >= b) }'; then
            echo "Prometheus: $shown predictions were asked for in all, as the pods say"
            return 0
        fi
        sleep 1
    done
    echo "Prometheus shows ${shown:-nothing} where the pods counted $want: look at its targets"
    return 1
}

check_arguments() {
    local LC_ALL=C
    check_number --requests "$REQUESTS" 1 100000000
    check_number --concurrency "$CONCURRENCY" 1 1000
    check_number --errors "$ERRORS" 0 999999999
    [ "$ERRORS" -le 100 ] || fail "--errors is a percentage"
    if [ -n "$DURATION" ]; then check_number --duration "$DURATION" 1 1000000; fi
    [ "$REQUESTS" -ge "$CONCURRENCY" ] || fail "--requests must not be less than --concurrency"
    [[ $SHIFT =~ ^[A-Za-z0-9_]*$ ]] || fail "--shift needs the name of a feature, such as age"
    if [ -n "$MODEL" ]; then check_model "$MODEL" "$MODELS"; fi
    check_namespace "$NAMESPACE"
    if [ -n "$URL" ]; then check_url --url "$URL"; fi
    URL=${URL%/}
}

main() {
    local failed=0
    while [ $# -gt 0 ]; do
        case $1 in
        --requests) need_value 'a number' "$@" && REQUESTS=$2 && shift 2 ;;
        --duration) need_value 'seconds' "$@" && DURATION=$2 && shift 2 ;;
        --concurrency) need_value 'a number' "$@" && CONCURRENCY=$2 && shift 2 ;;
        --errors) need_value 'a percentage' "$@" && ERRORS=$2 && shift 2 ;;
        --shift) need_value 'a feature' "$@" && SHIFT=$2 && shift 2 ;;
        --model) need_value 'a name' "$@" && MODEL=$2 && shift 2 ;;
        --url) need_value 'an address' "$@" && URL=$2 && shift 2 ;;
        --namespace) need_value 'a name' "$@" && NAMESPACE=$2 && shift 2 ;;
        --help | -h) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_arguments
    find_python
    SCRATCH=$(mktemp -d)
    trap clean_up EXIT
    PODS=
    if [ -z "$URL" ]; then
        find_api
        PODS=$(list_pods)
        [ -n "$PODS" ] || fail "no pod of the API runs in namespace $NAMESPACE"
    fi
    curl --silent --fail --max-time 5 --output /dev/null "$URL/health" || fail "$URL does not answer; is the API running?"
    write_rows
    echo "sending rows of $MODEL $VERSION to $URL$ROUTE"
    if [ "$SOURCE" = bundle ]; then
        echo "its data are not here: each feature is drawn by itself from bundle.json, so that only the score may drift"
    fi
    if [ "$METRIC" != - ]; then read_counters >"$SCRATCH/before"; fi
    send
    sum_up || failed=1
    if [ "$METRIC" = - ]; then
        echo "[metrics] of model.toml has no counter of requests: counters are not compared"
        return "$failed"
    fi
    check_counters || failed=1
    if [ -n "$PODS" ]; then check_prometheus || failed=1; fi
    return "$failed"
}

main "$@"
