"""The scripts that users run need nothing that macOS lacks: bash 3.2, BSD tools, GNU make 3.81.

None of these runs here, so what they lack is a list: of each construct a pattern, and an example of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT

SCRIPTS = sorted(
    file for folder in ("scripts", "monitoring", "compose") for file in PROJECT.glob(f"{folder}/*.sh")
)
MAKEFILE = PROJECT / "Makefile"

START = r"(^|[|;&(]|\b(then|do|run)) *"
"""Where a command may begin."""

BASH = {
    "mapfile and readarray are bash 4": (r"\b(mapfile|readarray|coproc)\b", "mapfile -t lines <file"),
    "associative, global and reference variables are bash 4": (
        r"\b(declare|local|typeset|readonly) (-[a-z]+ )*-[a-zA-Z]*[Agn]",
        "local -A sums",
    ),
    "changing case is bash 4": (r"\$\{!?\w+(\[[^]]*\])?[\^,]", "${name,,}"),
    "transformations are bash 4.4": (r"\$\{\w+(\[[@*]\])?@[A-Za-z]\}", "${name@Q}"),
    "negative lengths are bash 4.2": (r"\$\{\w+:[^}]*: *-\d", "${name:0:-1}"),
    "negative indexes are bash 4.3": (r"\$\{\w+\[ *-", "${list[-1]}"),
    "|& and &>> are bash 4": (r"\|&|&>>", "make &>>log"),
    "falling through is bash 4": (r";;?&(?!&)", "a) ;;&"),
    "-v of test is bash 4.2": (r"(\[|\btest) -v ", "[[ -v name ]]"),
    "printf's times and elements are bash 4": (r"printf -v \w+\[|printf .*%\([^)]*\)T", "printf '%(%F)T'"),
    "the variable is newer than bash 3.2": (
        r"\$\{?(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_ARGV0)\b",
        "$BASHPID",
    ),
    "wait -n is bash 4.3": (r"\bwait -[a-z]*n", "wait -n"),
    "read's -N, -i and fractions of seconds are bash 4": (
        r"\bread (-\w+ )*(-[a-z]*[Ni]|-t *\d*\.\d)",
        "read -r -t 0.5 line",
    ),
    "names for descriptors are bash 4.1": (r"(^|\s)\{\w+\}[<>]", "exec {log}>file"),
    "the option of shopt is bash 4": (
        r"shopt .*(globstar|lastpipe|inherit_errexit|localvar)",
        "shopt -s globstar",
    ),
    "steps and zeros in braces are bash 4": (r"\{\d+\.\.\d+\.\.|\{0\d+\.\.", "{1..9..2}"),
    "\\u in $'' is bash 4.2": (r"\$'[^']*\\u", r"$'\u2713'"),
    "case in $() ends at its first bracket in bash 3.2": (
        r"(?s)\$\([^()]*\bcase\b.*?\bin\b",
        "$(case $x in a) echo b ;; esac)",
    ),
}
TOOLS = {
    "sed -i needs its suffix attached": (r"\bsed\b[^|;]* -i(?=\s|$)", "sed -i 's/a/b/' file"),
    "long options of sed and friends are GNU's": (
        rf"{START}(sed|cp|mv|rm|mkdir|ls|head|tail|sort|tr|cut|wc|date|mktemp|awk|du|df|stat) (-\w+ )*--\w",
        "head --lines 3",
    ),
    "sed -r is GNU's": (r"\bsed (-\w+ )*-\w*r", "sed -r 's/(a)/b/'"),
    "alternation and classes in sed's patterns are GNU's": (r"\bsed\b[^|]*\\[+?wWsSb<>]", r"sed 's/a\+/b/'"),
    "grep -P is GNU's": (r"\bgrep (-\w+ )*-\w*P", "grep -oP 'a'"),
    "xargs -r and -d are GNU's": (r"\bxargs (-\w+ )*-\w*[rd]", "xargs -r rm"),
    "readlink -f and realpath are missing before macOS 13": (
        r"\breadlink -|\brealpath\b",
        "readlink -f file",
    ),
    "stat -c is GNU's": (r"\bstat (-\w+ )*-\w*c", "stat -c %s file"),
    "date -d, -I and %N are GNU's": (r"\bdate\b[^|;]*( -[dI]|%N)", "date -d yesterday"),
    "base64 -w and -d are GNU's": (r"\bbase64 -[wd]", "base64 -w0"),
    "sort -V and -h are GNU's": (r"\bsort (-\w+ )*-\w*[Vh]\b", "sort -V"),
    "a negative number of lines is GNU's": (r"\b(head|tail) (-\w+ )*(-n|-c) *-\d", "head -n -1"),
    "mktemp -p and templates with suffixes are GNU's": (r"\bmktemp\b[^;|)]* -p|XXX\.", "mktemp -p /tmp"),
    "cp -a and -t are not everywhere": (r"\bcp (-\w+ )*-\w*[at]\b", "cp -a a b"),
    "touch -d and du -b are GNU's": (r"\btouch -d|\bdu -\w*b", "touch -d yesterday file"),
    "find -printf and -regextype are GNU's": (r"\bfind\b.* -(printf|regextype)", "find . -printf '%p'"),
    "echo's options differ": (r"\becho -[neE]\b", "echo -n text"),
    "hostname -I and -i are Linux'": (r"\bhostname -[iIAf]", "hostname -I"),
    "sleep takes seconds alone": (r"\bsleep (\d+[smhd]|infinity)", "sleep 1m"),
    "functions of gawk": (r"\b(gensub|strftime|systime|asorti?|PROCINFO|strtonum)\b", "awk '{ gensub() }'"),
    "the program is Linux'": (
        rf"{START}(timeout|tac|nproc|(sha256|md5)sum|shuf|numfmt|getent|ip|ss|free|flock|setsid|stdbuf)\s",
        "timeout 5 curl",
    ),
}
MAKE = {
    "export for a target alone is make 3.82": (r"(?m)^[\w.-]+:.*\bexport \w", "test: export A = b"),
    "the assignment is make 4": (r"(?m)^\w+ *(!=|:::?=|::=)", "A != date"),
    "the function or variable is make 3.82 or newer": (
        r"\$\((file|guile|let|intcmp) |^(undefine|private|\.ONESHELL|\.SHELLFLAGS|\.RECIPEPREFIX)",
        "$(file >a,b)",
    ),
}
CHECKS = {"bash": BASH, "tools": TOOLS, "make": MAKE}


def code(file: Path) -> str:
    """Return a file without its lines of comment."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join("" if line.lstrip().startswith("#") else line for line in lines)


def found(pattern: str, text: str) -> Iterator[str]:
    for match in re.finditer(pattern, text, re.MULTILINE):
        number = text.count("\n", 0, match.start()) + 1
        yield f"{number}: {text.splitlines()[number - 1].strip()}"


def possibly_empty(text: str) -> list[str]:
    """Return arrays that are made empty and expanded as if they never were: an unset variable to bash 3.2."""
    names: set[str] = set()
    for function in text.split("\n}\n"):
        made = set(re.findall(r"\b(\w+)=\(\)", function))
        names |= made & set(re.findall(r'(?<!\+)"\$\{(\w+)\[[@*]\]\}"', function))
    return sorted(names)


@pytest.mark.parametrize("kind", CHECKS)
def test_each_pattern_finds_its_example(kind: str) -> None:
    for reason, (pattern, example) in CHECKS[kind].items():
        assert list(found(pattern, example)), reason


def test_an_empty_array_is_found() -> None:
    assert possibly_empty('options=()\nrun "${options[@]}"') == ["options"]
    assert not possibly_empty('options=()\nrun ${options[@]+"${options[@]}"}')
    assert not possibly_empty('options=(--wait)\nrun "${options[@]}"')


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: str(file.name))
def test_a_script_runs_with_bash_3_2_and_bsd_tools(script: Path) -> None:
    text = code(script)
    hits = [
        f"{script.name}:{line}: {reason}"
        for reason, (pattern, _) in (BASH | TOOLS).items()
        for line in found(pattern, text)
    ]
    assert not hits, "\n".join(hits)
    assert not possibly_empty(text)


def test_make_runs_with_3_81_and_bsd_tools() -> None:
    text = code(MAKEFILE)
    hits = [
        f"{line}: {reason}"
        for reason, (pattern, _) in (MAKE | TOOLS).items()
        for line in found(pattern, text.replace("\t", "    "))
    ]
    assert not hits, "\n".join(hits)
