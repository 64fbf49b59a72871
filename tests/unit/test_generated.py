"""What a program writes is marked in .gitattributes, so that nobody reads or counts it as written by hand."""

from tests.harness import PROJECT
from tools.lines import count_lines, tracked_files

LONGEST_BY_HAND = 900
LONGER_BY_HAND = {
    "helm-charts/heart-disease-api/values.schema.json"
}  # as long as what Kubernetes would reject
NOT_CODE = (".md", ".py")


def test_every_pattern_names_a_file() -> None:
    lines = (PROJECT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    patterns = [line.split()[0] for line in lines if line and not line.startswith("#")]
    files = [PROJECT / name for name in tracked_files()]
    for pattern in patterns:
        assert any(file.match(pattern.replace("/**", "/*")) for file in files), pattern


def test_what_make_writes_is_marked() -> None:
    generated = tracked_files()
    written = [
        *(name for name in generated if "do not edit" in _head(name) and not name.endswith(".py")),
        *(
            name
            for name in generated
            if name.endswith((".joblib", ".onnx", "bundle.json", "card.html", "go.sum"))
        ),
        *(name for name in generated if name.startswith("monitoring/grafana-") and name.endswith(".json")),
    ]
    assert len(written) > 20
    assert not [name for name in written if not generated[name]]


def test_nothing_as_long_as_a_lock_is_left_unmarked() -> None:
    by_hand = [name for name, is_generated in tracked_files().items() if not is_generated]
    assert not [
        name
        for name in by_hand
        if not name.endswith(NOT_CODE) and name not in LONGER_BY_HAND and count_lines(name) > LONGEST_BY_HAND
    ]


def _head(name: str) -> str:
    return (PROJECT / name).read_bytes()[:400].decode(errors="replace")
