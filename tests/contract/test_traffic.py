"""monitoring/test-metrics.sh against a server that runs on this machine: what it says, and its exit code."""

import subprocess
from collections.abc import Callable

import pytest

from tests.harness import PROJECT, Server

pytestmark = pytest.mark.heart


def traffic(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / "monitoring" / "test-metrics.sh", "--url", f"http://127.0.0.1:{server.port}", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_all_rows_are_answered_and_counted(start: Callable[..., Server]) -> None:
    server = start()
    result = traffic(server, "--requests", "303", "--errors", "10")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "counters: 273 with status 200, as sent" in result.stdout
    assert "counters: 30 with status 422, as sent" in result.stdout
    assert server.metric("predictions_total", prediction_result="disease") > 80
    assert server.metric("predictions_total", prediction_result="no_disease") > 80


def test_answers_that_are_not_expected_fail(start: Callable[..., Server]) -> None:
    result = traffic(start(FAULT_ERROR_RATE="0.5"), "--requests", "40")
    assert result.returncode == 1
    assert "answers are not what was expected" in result.stdout


def test_time_ends_the_traffic(start: Callable[..., Server]) -> None:
    result = traffic(start(), "--duration", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "as sent" in result.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--requests", "many"], "--requests needs a whole number, not 'many'"),
        (["--requests", "2"], "--requests must not be less than --concurrency"),
        (["--errors", "101"], "--errors is a percentage"),
        (["--speed", "9"], "unknown option --speed"),
        (["--url", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer; is the API running?"),
    ],
)
def test_mistakes_get_a_sentence(options: list[str], sentence: str, start: Callable[..., Server]) -> None:
    result = traffic(start(), *options)
    assert result.returncode == 1
    assert sentence in result.stderr
