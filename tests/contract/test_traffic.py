"""monitoring/test-metrics.sh against a server that runs on this machine: what it says, and its exit code."""

import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from bench.drift import stability_index
from bundle.declaration import load_declaration
from tests.harness import HEART, PROJECT, Server

FEATURES = load_declaration(HEART).feature_names

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


def test_unexpected_answers_fail(start: Callable[..., Server]) -> None:
    result = traffic(start(FAULT_ERROR_RATE="0.5"), "--requests", "40")
    assert result.returncode == 1
    assert "answers are not what was expected" in result.stdout


@pytest.mark.parametrize(
    "feature", ["age", "oldpeak", "ca", "fbs", "thal"]
)  # whole, not, and bounded; categories
def test_a_shifted_feature_moves_and_no_other(start: Callable[..., Server], feature: str) -> None:
    server = start()
    result = traffic(server, "--requests", "303", "--shift", feature)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "counters: 303 with status 200, as sent" in result.stdout

    series = server.metrics()
    for name in FEATURES:
        live, training = (
            {
                dict(labels)["bin"]: value
                for (metric, labels), value in series.items()
                if metric == expected_metric and ("feature", name) in labels
            }
            for expected_metric in ("feature_values_total", "feature_reference_share")
        )
        index = stability_index(np.array([live[bin_name] for bin_name in training]), training.values(), 303)
        assert index > 0.25 if name == feature else index < 1e-9, (name, index)


def test_traffic_ends_at_the_time_limit(start: Callable[..., Server]) -> None:
    result = traffic(start(), "--duration", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "as sent" in result.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--requests", "many"], "--requests needs a whole number"),
        (["--requests", "2"], "--requests must not be less than --concurrency"),
        (["--errors", "101"], "--errors is a percentage"),
        (["--shift", "weight"], "there is no feature 'weight' to shift; there are age sex cp"),
        (["--speed", "9"], "unknown option --speed"),
        (["--url", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer; is the API running?"),
    ],
)
def test_invalid_arguments_get_a_sentence(
    options: list[str], sentence: str, start: Callable[..., Server]
) -> None:
    result = traffic(start(), *options)
    assert result.returncode == 1
    assert sentence in result.stderr
