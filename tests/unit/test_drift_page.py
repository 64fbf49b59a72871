"""docs/drift.md is written from the measurements, not by hand."""

import json
from typing import Any

from bench.drift import RESULTS, page
from tests.harness import PROJECT

MEASURED: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_tables_are_written_from_the_measurements() -> None:
    assert (PROJECT / "docs" / "drift.md").read_text(encoding="utf-8") == page(MEASURED)
