"""Counts the tracked lines that are written by hand and those that a program writes: `python -m tools.lines`.

.gitattributes says which files are generated.
"""

import subprocess
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KINDS = {
    ".py": "Python",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".tpl": "YAML",
    ".csv": "data",
    ".json": "JSON",
    ".md": "Markdown",
    ".sh": "shell",
    ".toml": "TOML",
}


def tracked_files() -> dict[str, bool]:
    """Return each tracked file, and whether it is generated."""
    git = ["git", "-C", str(PROJECT)]
    names = subprocess.run([*git, "ls-files", "-z"], check=True, capture_output=True).stdout
    attributes = subprocess.run(
        [*git, "check-attr", "-z", "--stdin", "linguist-generated"],
        input=names,
        check=True,
        capture_output=True,
        text=False,
    ).stdout.decode()
    fields = attributes.split("\0")[:-1]
    return {
        name: value not in ("unspecified", "unset")
        for name, value in zip(fields[0::3], fields[2::3], strict=True)
    }


def kind(name: str) -> str:
    """Return the row of the table that a file written by hand belongs to."""
    written = KINDS.get(Path(name).suffix, "other")
    if written != "Python":
        return written
    folder = name.partition("/")[0]
    return f"Python, {folder}" if folder in ("tests", "bench") else "Python, product"


def count_lines(name: str) -> int:
    content = (PROJECT / name).read_bytes()
    return 0 if b"\0" in content[:8000] else content.count(b"\n")


def main() -> None:
    by_hand: Counter[str] = Counter()
    generated: Counter[str] = Counter()
    for name, is_generated in tracked_files().items():
        if is_generated:
            generated[name.partition("/")[0]] += count_lines(name)
        else:
            by_hand[kind(name)] += count_lines(name)
    for title, counts in (("written by hand", by_hand), ("generated, by folder", generated)):
        print(f"{title:24}{counts.total():8,}")
        for row, lines in counts.most_common():
            print(f"  {row:22}{lines:8,}")


if __name__ == "__main__":
    main()
