#!/usr/bin/env bash
# Packages the chart for a registry; with a key also its provenance, by which `helm verify` knows who made it.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
FOLDER=$ROOT/dist
KEY=
PASSPHRASE_FILE=

# shellcheck source=scripts/arguments.sh
. "$ROOT/scripts/arguments.sh"

usage() {
    cat <<EOF
usage: scripts/package-chart.sh [--key NAME [--passphrase-file FILE]] [--to FOLDER]

Writes heart-disease-api-VERSION.tgz, and with a key heart-disease-api-VERSION.tgz.prov beside it.

  --key NAME               a secret key of GnuPG's, by address or fingerprint
  --passphrase-file FILE   its passphrase; without the file GnuPG and Helm ask for it
  --to FOLDER              where to write (dist)
EOF
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --key) need_value 'a key' "$@" && KEY=$2 && shift 2 ;;
        --passphrase-file) need_value 'a file' "$@" && PASSPHRASE_FILE=$2 && shift 2 ;;
        --to) need_value 'a folder' "$@" && FOLDER=$2 && shift 2 ;;
        -h | --help) usage && exit ;;
        *) reject_argument "$1" ;;
        esac
    done
}

# Helm reads GnuPG's old format alone: the key is in a file as long as it packages.
export_key() {
    local options=(--batch)
    [ -z "$PASSPHRASE_FILE" ] || options+=(--pinentry-mode loopback --passphrase-file "$PASSPHRASE_FILE")
    gpg "${options[@]}" --export-secret-keys "$KEY" >"$1" || fail "GnuPG could not export the key"
    [ -s "$1" ] || fail "GnuPG has no such secret key; gpg --list-secret-keys names those that it has"
}

main() {
    local options=()
    parse "$@"
    need helm
    if [ -n "$KEY" ]; then
        need gpg
        keyring=$(mktemp) # for the trap, which outlives this function
        trap 'rm -f "$keyring"' EXIT
        export_key "$keyring"
        options=(--sign --key "$KEY" --keyring "$keyring")
        [ -z "$PASSPHRASE_FILE" ] || options+=(--passphrase-file "$PASSPHRASE_FILE")
    fi
    mkdir -p "$FOLDER"
    # bash 3.2 takes an empty array for an unset variable
    helm package "$ROOT/helm-charts/heart-disease-api" --destination "$FOLDER" ${options[@]+"${options[@]}"}
}

main "$@"
