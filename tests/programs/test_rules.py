"""The rules of monitoring/rules, by a real promtool; tests/unit/test_alerts.py holds that each has tests."""

from tests.harness import PROJECT, run

RULES = PROJECT / "monitoring" / "rules"


def test_promtool_reads_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES.glob("*.yaml"))


def test_promtool_proves_them() -> None:
    run("promtool", "test", "rules", *(RULES / "tests").glob("*.yaml"))
