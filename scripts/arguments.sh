# shellcheck shell=bash
# Read by the scripts: how one ends with a sentence, and what it checks of its arguments before it uses them.
# A word in a wrong place may be a password: no sentence repeats it.

fail() {
    echo "error: $*" >&2
    exit 1
}

# What else may be done where a program or the cluster is missing.
OTHERWISE=

need() {
    command -v "$1" >/dev/null || fail "$1 is needed and not installed$OTHERWISE"
}

# Ends the script unless an option has a value: `need_value 'a name' "$@"` with the option first.
need_value() {
    case ${3-} in '' | -*) fail "$2 needs $1" ;; esac
}

reject_argument() {
    usage >&2
    case $1 in
    -*) fail "unknown option ${1%%=*}; an option's value follows it after a space" ;;
    *) fail "there is a word that belongs to no option; quote a value that has spaces" ;;
    esac
}

# A label of RFC 1123. Without LC_ALL a range has other letters, too, in some languages.
check_namespace() {
    local LC_ALL=C label='^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'
    if ! [[ $1 =~ $label ]] || [ ${#1} -gt 63 ]; then
        fail "--namespace needs a name that Kubernetes allows: at most 63 of a-z, 0-9 and -, which is neither first nor last"
    fi
}

# check_model NAME FOLDER: a folder there that declares a model, and has a version with a bundle.
check_model() {
    local LC_ALL=C name='^[a-z][a-z0-9-]*$' versions
    [[ $1 =~ $name ]] || fail "--model needs the name of a folder of models/, such as heart-disease"
    [ -f "$2/$1/model.toml" ] || fail "models/$1 has no model.toml; make new MODEL=$1 drafts one"
    versions=("$2/$1"/v*/bundle.json)
    [ -f "${versions[0]}" ] || fail "models/$1 has no trained version; make train MODEL=$1"
}

# check_number NAME VALUE LEAST MOST
check_number() {
    local LC_ALL=C number='^(0|[1-9][0-9]{0,8})$'
    [[ $2 =~ $number ]] || fail "$1 needs a whole number"
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then fail "$1 must be from $3 to $4"; fi
}

check_port() {
    check_number "$1" "$2" 1 65535
}

# An address that a program may be given as an argument and in a file: without a password, quotes and spaces.
check_url() {
    local LC_ALL=C host='([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])' path='(/[A-Za-z0-9._~%/-]*)?'
    [[ $2 != *@* ]] || fail "$1 must not contain a name or a password"
    [[ $2 =~ ^https?://$host(:([0-9]+))?$path$ ]] || fail "$1 needs an address such as http://127.0.0.1:8000"
    if [ -n "${BASH_REMATCH[4]}" ]; then check_port "the port of $1" "${BASH_REMATCH[4]}"; fi
}

# Where images are pushed: a host and perhaps a path, as the names of images begin.
check_registry() {
    local LC_ALL=C host='[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([0-9]+))?' path='(/[a-z0-9]+([._-]+[a-z0-9]+)*)*'
    [[ $2 != *@* ]] || fail "$1 must not contain a name or a password: docker login takes them"
    [[ $2 != *://* ]] || fail "$1 needs a registry without https://, such as registry.example.org:5000/team"
    [[ $2 != */ ]] || fail "$1 needs a registry without a slash at its end, such as registry.example.org:5000/team"
    [[ $2 =~ ^$host$path$ ]] || fail "$1 needs a registry in lower case, such as registry.example.org:5000/team, without an image's name and tag"
    if [ -n "${BASH_REMATCH[3]}" ]; then check_port "the port of $1" "${BASH_REMATCH[3]}"; fi
}

check_platform() {
    local LC_ALL=C platform='^linux/[a-z0-9]+(/v[0-9]+)?$'
    [[ $2 =~ $platform ]] || fail "$1 needs one platform, such as linux/amd64 or linux/arm64"
}
