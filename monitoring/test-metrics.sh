#!/usr/bin/env bash
# Sends predictions to the API, shows how it answered, and checks that the metrics say exactly that.
# Needs curl and standard tools; bash 3.2 is enough.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/.." && pwd)
DATA=$ROOT/models/heart-disease/data.csv
FEATURES="age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal"
NAMESPACE=mlops
URL=
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

usage() {
    cat <<EOF
usage: monitoring/test-metrics.sh [--requests N] [--duration SECONDS] [--concurrency N] [--errors PERCENT]
                                  [--shift FEATURE] [--url URL] [--namespace NAME]

Sends rows of the training data to POST /predict, sums up the answers, and checks that the counters of the pods together
rose by what was sent, and that Prometheus shows it. The exit code is 0 only if all of that is so.

  --requests N        how many ($REQUESTS)
  --duration SECONDS  send for so long instead
  --concurrency N     clients at once ($CONCURRENCY)
  --errors PERCENT    share of requests that are made invalid and must get 422 ($ERRORS)
  --shift FEATURE     send drifted rows: a number 1.5 standard deviations higher, or the rarest value of a category;
                      from 300 rows on, such as --requests 500, the alert FeatureDrift names the feature
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
    local address addresses services port
    # shellcheck source=/dev/null
    if [ -z "${KUBECONFIG:-}" ] && [ -f "$ROOT/.cluster/environment" ]; then . "$ROOT/.cluster/environment"; fi
    command -v kubectl >/dev/null || fail "kubectl is not installed; name the API with --url"
    services=$(kubectl get service --namespace "$NAMESPACE" --selector app=heart-disease-api \
        --output 'jsonpath={range .items[*]}{.metadata.name}:{.spec.ports[0].nodePort} {end}') ||
        fail "the cluster does not answer; is it running? Or name the API with --url"
    [ -n "$services" ] || fail "no API in namespace $NAMESPACE; run scripts/deploy.sh, or name the API with --url"
    port=${services%% *}
    port=${port#*:}
    # who may not list the nodes reaches the API by a forwarded port
    addresses=$(kubectl get nodes --output 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}') ||
        addresses=
    for address in $addresses; do
        URL=http://$address:$port
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
    kubectl port-forward --namespace "$NAMESPACE" service/heart-disease-api "$FORWARD_PORT:80" >/dev/null &
    FORWARD=$!
    curl --silent --fail --retry 20 --retry-delay 1 --retry-connrefused --output /dev/null "$URL/health" ||
        fail "the API does not answer; kubectl get pods --namespace $NAMESPACE"
}

# Writes the data as one JSON row a line. The API takes categories as they are spelled in the data.
# The data are read twice: the first time to see how to shift a feature, which stays within the highest value accepted.
write_rows() {
    awk -F, -v shift="$SHIFT" '
        BEGIN {
            split("'"$FEATURES"'", short, " ")
            split("age sex chest_pain resting_bp cholesterol fasting_blood_sugar_over_120 resting_ecg max_heart_rate " \
                  "exercise_angina st_depression st_slope major_vessels thallium_scan", long, " ")
        }
        function shifted(value) {
            if (!quantity) return rarest
            if (value == "") return value
            value += 1.5 * deviation
            if (whole) value = int(value + 0.5)
            return short[at] == "ca" && value > 3 ? 3 : value
        }
        { sub(/\r$/, "") }
        NR == 1 {
            for (i = 1; i <= NF; i++) column[$i] = i
            for (i = 1; i <= 13; i++) if (short[i] == shift) at = i
            quantity = whole = 1
            next
        }
        FNR == 1 {
            for (value in seen) if (rarest == "" || seen[value] < seen[rarest]) rarest = value
            if (different <= 2) quantity = 0 # a category that the data write as 0 and 1
            if (quantity) deviation = sqrt(squares / number - (sum / number) ^ 2)
            next
        }
        NR == FNR {
            value = at ? $(column[long[at]]) : ""
            if (value == "") next
            if (!seen[value]++) different++
            if (value !~ /^[0-9.]+$/) quantity = 0
            if (value ~ /[.][0-9]*[1-9]/) whole = 0
            number++; sum += value; squares += value * value
            next
        }
        {
            row = ""
            for (i = 1; i <= 13; i++) {
                value = $(column[long[i]])
                if (i == at) value = shifted(value)
                if (value == "") value = "null"
                else if (value !~ /^-?[0-9.]+$/) value = "\"" value "\""
                row = row (i > 1 ? "," : "") "\"" short[i] "\":" value
            }
            print "{" row "}"
        }' "$DATA" "$DATA" >"$SCRATCH/rows"
}

# Prints a configuration for curl: COUNT requests from FIRST on, one after the other on one connection.
curl_requests() {
    awk -v first="$1" -v count="$2" -v errors="$ERRORS" -v url="$URL" '
        { rows[NR - 1] = $0 }
        END {
            for (i = first; i < first + count; i++) {
                row = rows[i % NR]
                # spread evenly: a request is invalid where the running share passes a whole number
                wrong = int((i + 1) * errors / 100) > int(i * errors / 100)
                if (wrong) sub(/"age":[0-9.]+/, "\"age\":\"old\"", row)
                gsub(/\\/, "\\\\", row); gsub(/"/, "\\\"", row)
                if (i > first) print "next"
                print "url = \"" url "/predict\""
                print "header = \"Content-Type: application/json\""
                print "data = \"" row "\""
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
    local number share extra pids=()
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
            for (status in count) printf "  status %s: %d\n", status == "000" ? "none" : status, count[status]
            if (wrong) printf "  %d answers are not what was expected\n", wrong
            exit wrong > 0
        }'
}

# Writes "POD STATUS COUNT" for every counter of POST /predict, of each pod for itself.
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

counters_of() {
    sed -n 's/^api_requests_total{\(.*endpoint="\/predict".*\)} \([0-9.e+]*\)$/\1 \2/p' "$SCRATCH/metrics" |
        sed -n 's/.*status_code="\([0-9]*\)".* \([0-9.e+]*\)$/\1 \2/p' | awk -v pod="$1" '{ print pod, $0 }'
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
    awk '
        FILENAME ~ /answers$/ { sent[$2]++; next }
        FILENAME ~ /before$/ { rose[$2] -= $3; next }
        { rose[$2] += $3 }
        END {
            for (status in sent) if (status != "000") {
                if (rose[status] == sent[status]) printf "counters: %d with status %s, as sent\n", rose[status], status
                else if (rose[status] > sent[status])
                    printf "counters: %d with status %s: %d as sent, and other clients'"'"' %d\n", \
                        rose[status], status, sent[status], rose[status] - sent[status]
                else { printf "counters: only %d with status %s of %d sent\n", rose[status], status, sent[status]; less = 1 }
            }
            exit less
        }' "$SCRATCH/answers" "$SCRATCH/before" "$SCRATCH/after"
}

# Waits until Prometheus' sum over the pods is no less than that of their counters.
check_prometheus() {
    local found want shown='' query='sum(api_requests_total%7Bendpoint%3D%22%2Fpredict%22%7D)' try
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
    check_number --requests "$REQUESTS" 1 100000000
    check_number --concurrency "$CONCURRENCY" 1 1000
    check_number --errors "$ERRORS" 0 999999999
    [ "$ERRORS" -le 100 ] || fail "--errors is a percentage"
    if [ -n "$DURATION" ]; then check_number --duration "$DURATION" 1 1000000; fi
    [ "$REQUESTS" -ge "$CONCURRENCY" ] || fail "--requests must not be less than --concurrency"
    case " $FEATURES " in
    *" ${SHIFT:-age} "*) [[ $SHIFT != *' '* ]] || fail "--shift takes one feature" ;;
    *) fail "there is no feature '$SHIFT' to shift; there are $FEATURES" ;;
    esac
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
        --url) need_value 'an address' "$@" && URL=$2 && shift 2 ;;
        --namespace) need_value 'a name' "$@" && NAMESPACE=$2 && shift 2 ;;
        --help | -h) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_arguments
    SCRATCH=$(mktemp -d)
    trap clean_up EXIT
    PODS=
    if [ -z "$URL" ]; then
        find_api
        PODS=$(list_pods)
        [ -n "$PODS" ] || fail "no pod of the API runs in namespace $NAMESPACE"
    fi
    curl --silent --fail --max-time 5 --output /dev/null "$URL/health" || fail "$URL does not answer; is the API running?"
    echo "sending to $URL"
    write_rows
    read_counters >"$SCRATCH/before"
    send
    sum_up || failed=1
    check_counters || failed=1
    if [ -n "$PODS" ]; then check_prometheus || failed=1; fi
    return "$failed"
}

main "$@"
