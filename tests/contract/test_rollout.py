"""Two versions side by side: shares, stickiness, shadow, and a candidate that fails, hangs or is slow."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.harness import Server, eventually, run
from tests.systems import System

Start = Callable[..., Server]

CANARY = {"MODEL_VERSION": "v1", "CANDIDATE_VERSION": "v2"}
KEYS = 600

pytestmark = pytest.mark.churn


@pytest.fixture
def salted(tmp_path: Path) -> dict[str, str]:
    """Settings of a canary whose replicas share a salt."""
    file = tmp_path / "salt"
    file.write_text("5fd0a1e3b7c94286d28b6e07f51c93aa", encoding="ascii")
    return CANARY | {"CANARY_SALT_FILE": str(file)}


def warnings(server: Server) -> list[str]:
    return [line for line in server.lines if "the canary's salt is random" in line]


def answering_versions(server: Server, keys: int = KEYS, header: str = "X-Request-Key") -> dict[str, str]:
    """Return which version answers each key."""

    def answering_version(key: str) -> str:
        answer = server.post("/predict", server_row, headers={header: key})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model"]["version"])

    server_row = System("churn").sample
    with ThreadPoolExecutor(4) as pool:
        names = [f"customer-{number}" for number in range(keys)]
        return dict(zip(names, pool.map(answering_version, names), strict=True))


def shown(server: Server, metric: str, **labels: str) -> float:
    return server.metric(metric, model="churn", **labels)


def test_a_key_stays_with_its_version_and_a_larger_share_keeps_it(
    start: Start, salted: dict[str, str]
) -> None:
    """10 %, then 50 %, in other processes: the candidate keeps each of its keys."""
    tenth, half, promoted, back = (
        answering_versions(start(**salted, CANARY_PERCENT=percent)) for percent in ("10", "50", "100", "0")
    )
    assert tenth == answering_versions(start(**salted, CANARY_PERCENT="10", WORKERS="2"))
    assert set(promoted.values()) == {"v2"}
    assert set(back.values()) == {"v1"}
    had = {key for key, version in tenth.items() if version == "v2"}
    assert had <= {key for key, version in half.items() if version == "v2"}
    for chosen, share in ((tenth, 0.1), (half, 0.5)):
        taken = Counter(chosen.values())["v2"]
        assert binomtest(taken, KEYS, share).pvalue > 1e-4, f"{taken} of {KEYS} at {share}"


def test_workers_without_a_file_share_a_salt_and_the_log_says_what_that_means(
    start: Start, salted: dict[str, str]
) -> None:
    server = start(**CANARY, CANARY_PERCENT="50", WORKERS="2")
    chosen = answering_versions(server, 50)
    assert all(answering_versions(server, 50) == chosen for _ in range(3))
    (line,) = warnings(server)
    assert '"level":"warning"' in line
    assert "CANARY_SALT_FILE" in line
    assert not warnings(start(**salted, CANARY_PERCENT="50"))


def test_without_a_key_the_request_id_decides(start: Start, system: System) -> None:
    server = start(**CANARY, CANARY_PERCENT="50")
    by_id = answering_versions(server, 50, "X-Request-ID")
    assert set(by_id.values()) == {"v1", "v2"}
    assert by_id == answering_versions(server, 50, "X-Request-ID") == answering_versions(server, 50)
    assert shown(server, "version_target_share", model_version="v2") == 0.5
    bundles = [dict(labels) for name, labels in server.metrics() if name == "served_bundle_info"]
    assert [bundle["model_version"] for bundle in bundles] == ["v1"], "a candidate is not served"
    counted = {
        version: shown(server, "version_requests_total", model_version=version, outcome="success")
        for version in ("v1", "v2")
    }
    for version in ("v1", "v2"):
        assert counted[version] == 3 * Counter(by_id.values())[version]
        assert shown(server, "version_duration_seconds_count", model_version=version) == counted[version]
    server.post("/predict", {}, headers={"X-Request-Key": "a"})
    rejected = [
        shown(server, "version_requests_total", model_version=version, outcome="rejected")
        for version in ("v1", "v2")
    ]
    assert sorted(rejected) == [0, 1]
    pinned = server.post("/v1/predict", system.sample).json()["model"]["version"]
    assert pinned == "v1"
    paths = server.get("/openapi.json").json()["paths"]
    for path, keyed in (("/predict", True), ("/predict/batch", True), ("/v1/predict", False)):
        named = [parameter["name"] for parameter in paths[path]["post"].get("parameters", [])]
        assert ("X-Request-Key" in named) == keyed


def test_a_paused_canary_gets_no_requests_and_later_its_keys_back(
    start: Start, salted: dict[str, str]
) -> None:
    before = answering_versions(start(**salted, CANARY_PERCENT="50"), 50)
    assert set(
        answering_versions(start(**salted, CANARY_PERCENT="50", CANARY_PAUSED="true"), 50).values()
    ) == {"v1"}
    assert answering_versions(start(**salted, CANARY_PERCENT="50"), 50) == before


def test_a_batch_is_answered_by_one_version(start: Start, system: System) -> None:
    server = start(**CANARY, CANARY_PERCENT="50")
    versions = {
        server.post("/predict/batch", {"instances": system.rows[:20]}, headers={"X-Request-Key": str(key)})
        .json()["model"]["version"]
        for key in range(20)
    }  # fmt: skip
    assert versions == {"v1", "v2"}
    listed = server.post("/predict", system.rows[:5], headers={"X-Request-Key": "a"}).json()
    assert len({answer["model"]["version"] for answer in listed}) == 1


def test_the_served_version_answers_for_a_failing_candidate(
    start: Start, system: System, tmp_path: Path
) -> None:
    fault = tmp_path / "fault"
    server = start(**CANARY, CANARY_PERCENT="100", FAULT_CANDIDATE_FILE=str(fault), PROBE_SECONDS="0.2")
    assert server.post("/predict", system.sample).json()["model"]["version"] == "v2"
    fault.write_text("raise", encoding="utf-8")
    answers = [server.post("/predict", system.sample) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model"]["version"] for answer in answers} == {"v1"}
    assert shown(server, "version_requests_total", model_version="v2", outcome="error") == 1
    assert server.get("/readyz").status_code == 200
    assert server.get("/health").status_code == 200
    assert server.metric("candidate_loaded", model="churn", model_version="v2") == 0
    loaded = [dict(labels)["model_version"] for name, labels in server.metrics() if name == "model_loaded"]
    assert loaded == ["v1"]
    fault.unlink()
    eventually(
        lambda: server.post("/predict", system.sample).json()["model"]["version"] == "v2",
        "the candidate recovers",
    )


def test_a_shadow_compares_and_never_answers(start: Start, system: System) -> None:
    server = start(**CANARY, SHADOW="true")
    eventually(lambda: shown(server, "shadow_up", model_version="v2") == 1, "the candidate answers")
    single = [server.post("/predict", row).json() for row in system.rows[:40]]
    batch = server.post("/predict/batch", {"instances": system.rows[:60]}).json()["predictions"]
    pinned = [server.post("/v2/predict", row).json() for row in system.rows[:60]]
    outcomes = ("agreed", "disagreed", "failed", "dropped")

    def counted() -> list[float]:
        return [
            shown(server, "shadow_rows_total", model_version="v2", outcome=outcome) for outcome in outcomes
        ]

    eventually(lambda: sum(counted()) == 100, "each row is compared")
    differ = sum(a["label"] != b["label"] for a, b in zip(single + batch, pinned[:40] + pinned, strict=True))
    assert counted() == [100 - differ, differ, 0, 0]
    assert 0 < differ < 50
    far = max(
        abs(a["probability"] - b["probability"])
        for a, b in zip(single + batch, pinned[:40] + pinned, strict=True)
    )
    assert shown(server, "shadow_difference_count", model_version="v2") == 100
    near = [value for (name, labels), value in server.metrics().items()
            if name == "shadow_difference_bucket" and float(dict(labels)["le"]) >= far]  # fmt: skip
    assert set(near) == {100}
    assert {answer["model"]["version"] for answer in single} == {"v1"}
    loaded = {
        (name, dict(labels).get("model_version")) for name, labels in server.metrics() if "_loaded" in name
    }
    assert loaded == {("model_loaded", "v1"), ("model_loaded", "v2")}  # each answers on its own route
    assert server.metric("ml_predictions_total", model_version="v2") == 60
    assert shown(server, "feature_values_total", model_version="v2", feature="tenure") == 60


def broken(start: Start, tmp_path: Path, fault: str) -> Server:
    file = tmp_path / "fault"
    server = start(**CANARY, SHADOW="true", FAULT_CANDIDATE_FILE=str(file))
    eventually(lambda: shown(server, "shadow_up", model_version="v2") == 1, "the candidate answers")
    file.write_text(fault, encoding="utf-8")
    return server


def ask(server: Server, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        answer = server.post("/predict", row)
        assert answer.status_code == 200
        assert answer.json()["model"]["version"] == "v1"


def test_a_shadow_that_raises_is_counted(start: Start, system: System, tmp_path: Path) -> None:
    server = broken(start, tmp_path, "raise")
    ask(server, system.rows[:30])
    failed = lambda: shown(server, "shadow_rows_total", outcome="failed") == 30  # noqa: E731
    eventually(failed, "each failure is counted")
    assert shown(server, "shadow_up", model_version="v2") == 1


def test_a_hanging_shadow_is_restarted(start: Start, system: System, tmp_path: Path) -> None:
    server = broken(start, tmp_path, "hang")
    ask(server, system.rows[:30])
    eventually(lambda: shown(server, "shadow_up") == 0, "the candidate is stopped")
    ask(server, system.rows[:30])
    assert shown(server, "shadow_rows_total", outcome="failed") >= 1
    (tmp_path / "fault").unlink()
    eventually(lambda: shown(server, "shadow_up") == 1, "it is restarted")
    before = shown(server, "shadow_rows_total", outcome="agreed")
    ask(server, system.rows[:30])
    eventually(lambda: shown(server, "shadow_rows_total", outcome="agreed") > before, "it answers")
    assert '"cause":"no answer in time"' in "".join(server.lines)


def test_an_overloaded_shadow_drops_rows(start: Start, system: System, tmp_path: Path) -> None:
    server = broken(start, tmp_path, "slow")
    rows = system.rows * 5
    for _ in range(3):
        assert server.post("/predict/batch", {"instances": rows[:1000]}).status_code == 200
    assert shown(server, "shadow_rows_total", outcome="dropped") >= 400
    # its process has the lowest priority: beside a busy suite it gets little
    eventually(lambda: shown(server, "shadow_rows_total") == 3000, "the rest is answered in time", 180)
    assert shown(server, "shadow_rows_total", outcome="failed") == 0


def test_a_shadow_ends_with_its_server(start: Start) -> None:
    server = start(**CANARY, SHADOW="true")
    eventually(lambda: shown(server, "shadow_up") == 1, "the candidate answers")
    children = run("pgrep", "-P", str(server.process.pid), "-f", "serving.rollout.shadow").stdout.split()
    assert len(children) == 1
    os.kill(server.process.pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{children[0]}").exists(), "its process is gone")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"CANARY_PERCENT": "10"}, "CANARY_PERCENT and SHADOW need CANDIDATE_VERSION, such as v2"),
        ({"SHADOW": "true"}, "CANARY_PERCENT and SHADOW need CANDIDATE_VERSION, such as v2"),
        ({"CANDIDATE_VERSION": "v9", "SHADOW": "true"}, "has these versions: v1, v2"),
        ({"CANDIDATE_VERSION": "v9", "CANARY_PERCENT": "1"}, "has these versions: v1, v2"),
        ({"CANDIDATE_VERSION": "v2", "CANARY_PERCENT": "101"}, "CANARY_PERCENT=101: "),
        ({"CANDIDATE_VERSION": "v2", "MODEL": "churn,iris"}, "only makes sense with a single MODEL"),
        (
            {"CANDIDATE_VERSION": "v2", "FAULT_CANDIDATE_FILE": "/x", "ENVIRONMENT": "production"},
            "FAULT_ settings inject failures",
        ),
    ],
)
def test_invalid_settings_are_reported(settings: dict[str, str], sentence: str) -> None:
    done = run(
        sys.executable, "api_server.py", check=False, settings={"MODEL": "churn", "PORT": "0"} | settings
    )
    assert done.returncode
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_promoted_candidate_answers_alone(start: Start, system: System) -> None:
    server = start(MODEL_VERSION="v2", CANDIDATE_VERSION="v2", CANARY_PERCENT="10", SHADOW="true")
    assert server.post("/predict", system.sample).json()["model"]["version"] == "v2"
    assert not [name for name, _ in server.metrics() if name.startswith(("version_", "shadow_"))]
