"""A request costs what docs/performance/instructions.json says, neither more nor less."""

import json

import pytest

from bench.instructions import FILE, count, platform_of_counts

COMMITTED = json.loads(FILE.read_text(encoding="utf-8"))


def test_a_request_costs_the_committed_number_of_instructions() -> None:
    if platform_of_counts() != COMMITTED["platform"]:
        pytest.skip(f"instructions are counted for {COMMITTED['platform']}")
    committed = COMMITTED["instructions"]["ours"]
    now = count("ours")
    assert now == pytest.approx(committed, rel=0.02), (
        f"a request executes {now:,.0f} instructions, {committed:,} were committed: "
        "find what costs more, or commit the new count (python -m bench.instructions)"
    )
