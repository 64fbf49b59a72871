import re
from pathlib import Path
from typing import Any

import pytest

from serving.settings import Settings, SettingsError, load_settings
from tests.harness import PROJECT

OUTCOMES = {"FEEDBACK_DATABASE": "postgresql://u:hunter2@h/d", "FEEDBACK_KEYS": "keys"}
NAMES = [name.upper() for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_documented_with_its_default() -> None:
    text = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", text, flags=re.MULTILINE))
    defaults = {name.upper(): shown(field.default) for name, field in Settings.model_fields.items()}
    assert {name: default.strip(" `") for name, default in documented.items()} == defaults


def shown(default: Any) -> str:
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Path):
        return str(default.relative_to(PROJECT))
    return ",".join(default) if isinstance(default, tuple) else str(default)


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "heart-disease, iris")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("PORT", "")
    settings = load_settings()
    assert settings.model == ("heart-disease", "iris")
    assert settings.log_level == "debug"
    assert settings.port == 8000
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "high"}, "PORT=high: Input should be a valid integer"),
        ({"PORT": "70000"}, "PORT=70000: Input should be less than or equal to 65535"),
        ({"METRICS_PORT": "70000"}, "METRICS_PORT=70000: Input should be less than or equal to 65535"),
        ({"METRICS_PORT": "-1"}, "METRICS_PORT=-1: Input should be greater than or equal to 0"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT=8000 is PORT, too: give scrapes another, or unset it"),
        ({"PORT": "9091", "METRICS_PORT": "9091"}, "METRICS_PORT=9091 is PORT, too"),
        ({"WORKERS": "0"}, "WORKERS=0: Input should be greater than or equal to 1"),
        ({"THRESHOLD": "1"}, "THRESHOLD=1: Input should be less than 1"),
        ({"THRESHOLD": "nan"}, "THRESHOLD=nan: Input should be"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT=xml: Input should be 'json' or 'text'"),
        ({"MODEL": " , "}, "MODEL must name at least one model"),
        ({"MODEL": "a,a"}, "none twice"),
        ({"MODEL": "a,b", "THRESHOLD": "0.3"}, "only make sense with a single MODEL"),
        ({"MODEL": "../etc"}, "MODEL=../etc"),
        ({"MODEL_VERSION": "../v1"}, "MODEL_VERSION=../v1"),
        ({"ENVIRONMENT": "production", "FAULT_ERROR_RATE": "0.1"}, "refused with ENVIRONMENT=production"),
        ({"ENVIRONMENT": "production", "FAULT_ENGINE_FILE": "/x"}, "refused with ENVIRONMENT=production"),
        (OUTCOMES | {"ENVIRONMENT": "production"}, "anybody could report outcomes: set FEEDBACK_TOKEN_FILE"),
        (OUTCOMES | {"ENVIRONMENT": "production", "FEEDBACK_ANONYMOUS": "false"}, "set FEEDBACK_TOKEN_FILE"),
        (OUTCOMES | {"FEEDBACK_TOKEN_FILE": "t", "FEEDBACK_ANONYMOUS": "1"}, "contradict each other"),
        ({"FEEDBACK_TOKEN_FILE": "t"}, "FEEDBACK_TOKEN_FILE needs FEEDBACK_DATABASE"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sentence: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_production_without_faults_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert not any(load_settings().faults.values())


@pytest.mark.parametrize(
    "more",
    [
        {"ENVIRONMENT": "production", "FEEDBACK_ANONYMOUS": "true"},
        {"ENVIRONMENT": "production", "FEEDBACK_TOKEN_FILE": "/keys/token"},
        {"ENVIRONMENT": "staging"},
    ],
)
def test_production_asks_for_a_token_unless_it_is_switched_off_on_purpose(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    for name, value in (OUTCOMES | more).items():
        monkeypatch.setenv(name, value)
    assert load_settings().feedback_database == OUTCOMES["FEEDBACK_DATABASE"]
