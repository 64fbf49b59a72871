"""The rules of monitoring/rules, by a real promtool; tests/unit/test_alerts.py checks that each has tests."""

from tests.harness import PROJECT, run

RULES = PROJECT / "monitoring" / "rules"


def test_the_rules_are_valid() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES.glob("*.yaml"))


def test_the_rules_pass_their_tests() -> None:
    run("promtool", "test", "rules", *(RULES / "tests").glob("*.yaml"))
