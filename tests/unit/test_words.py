"""Texts use the words of the field: none of the phrases of wrong_words.txt is written by hand anywhere."""

from pathlib import Path

import pytest

from tests.harness import PROJECT
from tools.lines import tracked_files

LIST = Path(__file__).with_name("wrong_words.txt")
WRONG = dict(
    line.split(" = ", 1)
    for line in LIST.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
NOT_PROSE = ("CHANGELOG.md", "tests/unit/wrong_words.txt")
"""The changelog quotes the old names."""

TEXTS = [
    name
    for name, is_generated in tracked_files().items()
    if not is_generated
    and Path(name).suffix in {".md", ".py", ".sh", ".toml", ".tpl", ".txt", ".yaml", ".yml"}
]


@pytest.mark.parametrize("phrase", WRONG)
def test_no_text_uses_a_wrong_phrase(phrase: str) -> None:
    hits = []
    for name in TEXTS:
        if name in NOT_PROSE:
            continue
        for number, line in enumerate((PROJECT / name).read_text(encoding="utf-8").splitlines(), 1):
            if phrase in line.lower():
                hits.append(f"{name}:{number}: say {WRONG[phrase]}: {line.strip()}")
    assert not hits, "\n".join(hits)
