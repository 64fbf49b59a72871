#!/usr/bin/env bash
# Installs Prometheus, Alertmanager and Grafana beside the API: checks their configuration in the cluster, then applies it.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/.." && pwd)
NAMESPACE=mlops
PUBLIC_URL=
EXPOSE_ALERTMANAGER=false
GRAFANA=true
ANONYMOUS_VIEWERS=false
DRY_RUN=false
SCRATCH=
PART_OF=app.kubernetes.io/part-of=heart-disease-monitoring
CONFIGURATION=$PART_OF,app.kubernetes.io/component=configuration

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"
# shellcheck source=scripts/cluster.sh
. "$ROOT/scripts/cluster.sh"

usage() {
    cat <<EOF
usage: monitoring/deploy-monitoring.sh [--namespace NAME] [--without-grafana] [--grafana-password-file FILE]
                                       [--anonymous-viewers] [--expose-alertmanager] [--public-url URL] [--dry-run]

Installs Prometheus (NodePort 30090), Grafana (30030) and Alertmanager into the namespace of the API. Safe to repeat: a changed
configuration or rule is checked first, and replaces the old one only when it is valid.

  --namespace NAME              where the API is ($NAMESPACE)
  --without-grafana             leave Grafana out, or remove it; its volume stays
  --grafana-password-file FILE  Grafana's admin password at its first start, - for standard input; generated and kept otherwise
  --grafana-password PASSWORD   the same, but everybody on this machine sees it in the list of processes
  --anonymous-viewers           whoever reaches Grafana may look, without a password
  --expose-alertmanager         on NodePort 30093, too
  --public-url URL              where readers of alerts reach the API, which serves the runbooks; a port-forward otherwise
  --dry-run                     print what would be applied

Notifications: make the Secret alertmanager-receivers with any of the keys slack-url, webhook-url and smtp-password, and
run this again. For email, set addresses and server in alertmanager-config.yaml first.
EOF
}

step() {
    local what=$1 start=$SECONDS
    shift
    echo "==> $what"
    "$@"
    echo "    $((SECONDS - start)) s"
}

# A call that fails ends the script.
kube() {
    kubectl --namespace "$NAMESPACE" "$@" || fail "kubectl $1 failed, as it says above; run this again"
}

# Writes everything that is to be applied into $SCRATCH/all.yaml.
render() {
    local keys key
    cp -R "$HERE" "$SCRATCH/monitoring"
    # in quotes, because 123 and true are names, too
    { printf 'namespace: "%s"\n' "$NAMESPACE" && sed '/^namespace: /d' "$HERE/kustomization.yaml"; } \
        >"$SCRATCH/monitoring/kustomization.yaml"
    # shellcheck disable=SC2016  # a template of kubectl, not of the shell
    keys=$(kube get secret alertmanager-receivers --ignore-not-found \
        --output 'go-template={{range $key, $_ := .data}}{{$key}} {{end}}')
    for key in slack-url webhook-url smtp-password; do
        case " $keys" in
        *" $key "*) echo "    alerts go to the receiver of $key" ;;
        *) sed -i.bak "/# begin $key/,/# end $key/d" "$SCRATCH/monitoring/alertmanager-config.yaml" ;;
        esac
    done
    if [ -n "$PUBLIC_URL" ]; then
        sed -i.bak "s|public_url: http:.*|public_url: ${PUBLIC_URL%/}|" "$SCRATCH/monitoring/prometheus-config.yaml"
    fi
    if $EXPOSE_ALERTMANAGER; then
        sed -i.bak -e 's/type: ClusterIP.*/type: NodePort/' -e 's/^      port: 9093/&\
      nodePort: 30093/' "$SCRATCH/monitoring/alertmanager-deployment.yaml"
    fi
    if $ANONYMOUS_VIEWERS; then
        sed -i.bak '/GF_AUTH_ANONYMOUS_ENABLED/{n;s/"false"/"true"/;}' "$SCRATCH/monitoring/grafana-deployment.yaml"
    fi
    if ! $GRAFANA; then
        sed -i.bak '/grafana-deployment.yaml/d; /- name: grafana-/,/app: grafana/d' "$SCRATCH/monitoring/kustomization.yaml"
    fi
    kubectl kustomize "$SCRATCH/monitoring" >"$SCRATCH/all.yaml" ||
        fail "kubectl cannot put the manifests together, as it says above"
}

# Asks promtool and amtool, in the images that will run, so that a broken file never replaces a working one.
check_configuration() {
    local found phase deadline=$((SECONDS + 300))
    found=$(kube get namespace "$NAMESPACE" --ignore-not-found --output name)
    [ -n "$found" ] || kube create namespace "$NAMESPACE" >/dev/null
    check_pod >"$SCRATCH/check.yaml"
    kube apply --filename "$SCRATCH/all.yaml" --selector "$CONFIGURATION" >/dev/null
    kube delete pod monitoring-check --ignore-not-found --wait >/dev/null
    kube apply --filename "$SCRATCH/check.yaml" >/dev/null
    # a question that fails is asked again
    until phase=$(kubectl get pod monitoring-check --namespace "$NAMESPACE" --output 'jsonpath={.status.phase}') &&
        { [ "$phase" = Succeeded ] || [ "$phase" = Failed ]; }; do
        [ "$SECONDS" -lt "$deadline" ] || fail "the check did not end within 300 s: kubectl describe pod monitoring-check -n $NAMESPACE"
        sleep 1
    done
    if [ "$phase" = Failed ]; then
        kubectl logs monitoring-check --namespace "$NAMESPACE" --all-containers --prefix=false >&2 ||
            echo "the reason could not be read" >&2
        kube delete pod monitoring-check >/dev/null
        remove_unused_configuration
        fail "the configuration is not valid; what runs was left as it is"
    fi
    kube delete pod monitoring-check >/dev/null
}

# Prints what a pattern has in brackets, where it is found first in what is to be applied.
rendered() {
    local found
    found=$(sed -n "s|$1|\\1|p" "$SCRATCH/all.yaml")
    [ -n "$found" ] || fail "the manifests lack what is to be checked: $1"
    echo "${found%%$'\n'*}"
}

check_pod() {
    local promtool amtool config rules alertmanager
    promtool=$(rendered '^ *image: \(prom/prometheus:.*\)')
    amtool=$(rendered '^ *image: \(prom/alertmanager:.*\)')
    config=$(rendered '^  name: \(prometheus-config-[a-z0-9]*\)$')
    rules=$(rendered '^  name: \(prometheus-rules-[a-z0-9]*\)$')
    alertmanager=$(rendered '^  name: \(alertmanager-config-[a-z0-9]*\)$')
    cat <<EOF
apiVersion: v1
kind: Pod
metadata:
  name: monitoring-check
  labels: {app.kubernetes.io/part-of: heart-disease-monitoring}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: promtool
      image: $promtool
      command: [/bin/promtool, check, config, /etc/prometheus/config/prometheus.yml]
      securityContext: &security
        {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: config, mountPath: /etc/prometheus/config}
        - {name: rules, mountPath: /etc/prometheus/rules}
    - name: amtool
      image: $amtool
      command: [/bin/amtool, check-config, /etc/alertmanager/config/alertmanager.yml]
      securityContext: *security
      volumeMounts:
        - {name: alertmanager, mountPath: /etc/alertmanager/config}
  volumes:
    - {name: config, configMap: {name: $config}}
    - {name: rules, configMap: {name: $rules}}
    - {name: alertmanager, configMap: {name: $alertmanager}}
EOF
}

apply() {
    local deployment deployments='prometheus alertmanager blackbox-exporter'
    if $GRAFANA; then
        keep_password
        deployments="$deployments grafana"
    else
        kube delete deployment,service --selector "$PART_OF,app=grafana" >/dev/null
    fi
    kube apply --filename "$SCRATCH/all.yaml" >/dev/null
    for deployment in $deployments; do
        kubectl rollout status "deployment/$deployment" --namespace "$NAMESPACE" --timeout=180s >/dev/null ||
            fail "$deployment is not ready: kubectl describe pods -n $NAMESPACE -l app=$deployment"
    done
    remove_unused_configuration
}

# Reads the password that was given, which Grafana must take as it is written; no message repeats it.
read_password() {
    # shellcheck disable=SC2016  # what Grafana replaces, not the shell
    local LC_ALL=C password replaced='\$(__[A-Za-z0-9_]+)?\{[^}]+\}|%\([^)]+\)s'
    password=$(tr '\0' '\1' <"$SCRATCH/given") # no variable holds a NUL
    password=${password%$'\r'}
    if [ -z "$password" ] || [ ${#password} -gt 1000 ] || [[ $password == *[[:cntrl:]]* ]]; then
        fail "Grafana's password must be one line of 1 to 1000 bytes, without control characters"
    fi
    [[ ! $password =~ $replaced ]] ||
        fail "Grafana would replace what it reads as a variable in the password; leave out \${...} and %(...)s"
    printf '%s' "$password" >"$SCRATCH/password"
}

# Makes Grafana's admin password unless there is one: Grafana remembers that of its first start.
keep_password() {
    local found encoded
    found=$(kube get secret grafana-admin --ignore-not-found --output name)
    if [ -n "$found" ]; then
        [ ! -f "$SCRATCH/password" ] ||
            echo "    grafana-admin exists and is kept; change the password in Grafana, or remove the Secret and the volume"
        return
    fi
    [ -f "$SCRATCH/password" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$SCRATCH/password"
    encoded=$(base64 <"$SCRATCH/password" | tr -d '\n')
    [ -n "$encoded" ] || fail "no password could be made; is the disk full?"
    # on standard input, because other users see the arguments of a program
    kube create --filename - >/dev/null <<EOF
apiVersion: v1
kind: Secret
metadata: {name: grafana-admin, labels: {app.kubernetes.io/part-of: heart-disease-monitoring}}
data: {password: "$encoded"}
EOF
}

# ConfigMaps carry a hash in their names: what no deployment mounts is left over.
remove_unused_configuration() {
    local used name names
    used=$(kube get deployments --selector "$PART_OF" --output 'jsonpath={.items[*].spec.template.spec.volumes[*].configMap.name}')
    names=$(kube get configmaps --selector "$CONFIGURATION" --output 'jsonpath={.items[*].metadata.name}')
    for name in $names; do
        case " $used " in
        *" $name "*) ;;
        *) kube delete configmap "$name" >/dev/null ;;
        esac
    done
}

# Prints the host where Prometheus' port answers; nodes learn of a new port a moment after its pod is ready.
reachable_host() {
    local host hosts end=$((SECONDS + 6))
    hosts=$(node_hosts)
    while true; do
        for host in $hosts; do
            if curl --silent --fail --max-time 3 --output /dev/null "http://$host:30090/-/ready"; then
                echo "$host"
                return
            fi
        done
        [ "$SECONDS" -lt "$end" ] && [ -n "$hosts" ] || return 1
        sleep 1
    done
}

print_addresses() {
    local host
    if host=$(reachable_host); then
        echo "Prometheus: http://$host:30090"
        if $EXPOSE_ALERTMANAGER; then echo "Alertmanager: http://$host:30093"; fi
        if $GRAFANA; then
            echo "Grafana: http://$host:30030, user admin, password by:"
            echo "  kubectl get secret grafana-admin -n $NAMESPACE -o jsonpath='{.data.password}' | base64 --decode"
        fi
        return
    fi
    echo "No node's port answers from here. Reach Prometheus with one of:"
    print_ways prometheus 9090:9090
    if $GRAFANA; then
        echo "and Grafana with:"
        print_ways grafana 3000:3000
    fi
}

print_live_page() {
    echo "The console's live page shows all pods with:"
    echo "  helm upgrade heart-disease-api helm-charts/heart-disease-api --namespace $NAMESPACE --reset-then-reuse-values --set console.prometheusUrl=http://prometheus:9090"
}

print_forward_of_runbooks() {
    echo "Alerts link to runbooks on http://127.0.0.1:8000; --public-url names another address. The links work beside:"
    echo "  kubectl port-forward --namespace $NAMESPACE service/heart-disease-api 8000:http"
}

# Reads no more of a file than a password has.
take_file() {
    local file=${2-}
    if [ "$file" = - ]; then file=/dev/stdin; else need_value 'a file, or - for standard input' "$@"; fi
    head -c 2000 <"$file" >"$SCRATCH/given" || fail "the file that --grafana-password-file names cannot be read"
}

main() {
    umask 077
    SCRATCH=$(mktemp -d)
    trap 'rm -r "$SCRATCH"' EXIT
    while [ $# -gt 0 ]; do
        case $1 in
        --namespace) need_value 'a name' "$@" && NAMESPACE=$2 && shift 2 ;;
        --without-grafana) GRAFANA=false && shift ;;
        --grafana-password) need_value 'a password' "$@" && printf '%s' "$2" >"$SCRATCH/given" && shift 2 ;;
        --grafana-password-file) take_file "$@" && shift 2 ;;
        --anonymous-viewers) ANONYMOUS_VIEWERS=true && shift ;;
        --expose-alertmanager) EXPOSE_ALERTMANAGER=true && shift ;;
        --public-url) need_value 'an address' "$@" && PUBLIC_URL=$2 && shift 2 ;;
        --dry-run) DRY_RUN=true && shift ;;
        --help | -h) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
    check_namespace "$NAMESPACE"
    if [ -n "$PUBLIC_URL" ]; then check_url --public-url "$PUBLIC_URL"; fi
    if [ -f "$SCRATCH/given" ]; then read_password; fi
    find_cluster
    if $DRY_RUN; then
        render >&2
        cat "$SCRATCH/all.yaml"
        return
    fi
    step "rendering" render
    step "checking the configuration in the cluster" check_configuration
    step "installing in namespace $NAMESPACE" apply
    print_addresses
    print_live_page
    if [ -z "$PUBLIC_URL" ]; then print_forward_of_runbooks; fi
}

main "$@"
