import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from registry.credentials import Credentials
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
    ("value", "network"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7/32"),
        ("::ffff:10.244.0.0/112", "10.244.0.0/16"),
        ("10.0.0.7", "10.0.0.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ],
)
def test_a_proxy_may_be_named_as_ipv6_maps_it(
    monkeypatch: pytest.MonkeyPatch, value: str, network: str
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    assert [str(named) for named in load_settings().trusted_proxies] == [network]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "high"}, "PORT: Input should be a valid integer"),
        ({"PORT": "70000"}, "PORT=70000: Input should be less than or equal to 65535"),
        ({"METRICS_PORT": "70000"}, "METRICS_PORT=70000: Input should be less than or equal to 65535"),
        ({"METRICS_PORT": "-1"}, "METRICS_PORT=-1: Input should be greater than or equal to 0"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT=8000 is the same as PORT: choose another, or unset it"),
        ({"PORT": "9091", "METRICS_PORT": "9091"}, "METRICS_PORT=9091 is the same as PORT"),
        (
            {"ROOT_PATH": "api"},
            "ROOT_PATH: must be a path such as /api or /teams/heart: it begins with",
        ),
        ({"ROOT_PATH": "/"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/api/"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "//api"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/a//b"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/a/../b"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/api?x"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/api#x"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/api\n"}, "ROOT_PATH: must be a path such as /api"),
        ({"ROOT_PATH": "/a b"}, "ROOT_PATH: must be a path such as /api"),
        ({"TRUSTED_PROXIES": "proxy"}, "TRUSTED_PROXIES: must be addresses or networks, separated by commas"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES: must be addresses or networks"),
        ({"TRUSTED_PROXIES": "10.0.0.1, *"}, "TRUSTED_PROXIES: must be addresses or networks"),
        *(
            ({"CORS_ORIGINS": origins}, "CORS_ORIGINS: must be origins as browsers name them")
            for origins in (
                "*",
                "null",
                "app.example.org",
                "https://app.example.org/",
                "https://a.example/x",
                "https://App.example.org",
                "https://a.example:443",
                "http://a.example:80",
                "https://*.example.org",
                "https://u:p@a.example",
                "https://a.example, *",
                "https://a.example:0",
                "https://a.example\n.b",
            )
        ),
        ({"WORKERS": "0"}, "WORKERS=0: Input should be greater than or equal to 1"),
        ({"THRESHOLD": "1"}, "THRESHOLD=1: Input should be less than 1"),
        ({"THRESHOLD": "nan"}, "THRESHOLD=nan: Input should be"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: Input should be 'json' or 'text'"),
        ({"MODEL": " , "}, "MODEL must name at least one model"),
        ({"MODEL": "a,a"}, "each only once"),
        ({"MODEL": "a,b", "THRESHOLD": "0.3"}, "only make sense with a single MODEL"),
        ({"MODEL": "../etc"}, "MODEL: must name folders (a-z, 0-9, -), or a registered version"),
        (
            {"MODEL": "models:/a/latest"},
            "where NAME has letters, digits, spaces and _ - . alone",
        ),
        (
            {"MODEL": "models:/a%2Fb/1"},
            "where NAME has letters, digits, spaces and _ - . alone",
        ),
        ({"MODEL": "models:/A_b@best"}, "MODEL=models:/... needs MLFLOW_TRACKING_URI"),
        ({"MODEL": "models:/a@b, iris"}, "a registered model is served alone"),
        ({"MLFLOW_TRACKING_USERNAME": "u"}, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or "),
        ({"MLFLOW_TRACKING_TOKEN_FILE": "nowhere"}, "MLFLOW_TRACKING_TOKEN_FILE cannot be read: No such"),
        ({"MODEL_VERSION": "../v1"}, "MODEL_VERSION: String should match pattern"),
        ({"ENVIRONMENT": "production", "FAULT_ERROR_RATE": "0.1"}, "rejected with ENVIRONMENT=production"),
        ({"ENVIRONMENT": "production", "FAULT_ENGINE_FILE": "/x"}, "rejected with ENVIRONMENT=production"),
        (OUTCOMES | {"ENVIRONMENT": "production"}, "anybody could report outcomes: set FEEDBACK_TOKEN_FILE"),
        (OUTCOMES | {"ENVIRONMENT": "production", "FEEDBACK_ANONYMOUS": "false"}, "set FEEDBACK_TOKEN_FILE"),
        (OUTCOMES | {"FEEDBACK_TOKEN_FILE": "t", "FEEDBACK_ANONYMOUS": "1"}, "contradict each other"),
        ({"FEEDBACK_TOKEN_FILE": "t"}, "FEEDBACK_TOKEN_FILE needs FEEDBACK_DATABASE"),
    ],
)
def test_invalid_settings_are_rejected_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sentence: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


SECRET = "MARKED-hunter2"  # noqa: S105

MISTAKES = [
    SECRET,
    f"/{SECRET}+/=",
    f"{SECRET}\n\x1b[31m{SECRET}",
    f"postgresql://user:{SECRET}@host/db",
    f"http://user:{SECRET}@127.0.0.1:1",
    f"htps://user:{SECRET}@127.0.0.1:1",
    f"http//user:{SECRET}@127.0.0.1:1",
    f"http://user:{SECRET}@{SECRET}@127.0.0.1:1",
    f"http://user:1/{SECRET}@127.0.0.1:1",
    f"http://user:{SECRET}",
    f"models:/{SECRET}/1",
    f"v1,{SECRET}",
]
"""A secret in place of each setting, as people mistake one for another."""

POSSIBLE = {
    "CANARY_KEY_HEADER", "FAULT_CANDIDATE_FILE", "FAULT_ENGINE_FILE", "HOST", "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI", "PROMETHEUS_URL",
}  # fmt: skip
"""Settings that accept some of them."""


@pytest.mark.parametrize("name", NAMES)
def test_no_message_about_a_setting_has_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    messages = []
    for mistake in MISTAKES:
        monkeypatch.setenv(name, mistake)
        with suppress(SettingsError) if name in POSSIBLE else pytest.raises(SettingsError) as caught:
            load_settings()
        messages.append(str(caught.value) if caught else "")
    assert SECRET not in "".join(messages)
    assert "".join(messages).isprintable()


def test_credentials_are_read_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"t{SECRET}\n", encoding="ascii")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", f"u{SECRET}")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"p{SECRET}")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN_FILE", str(tmp_path / "token"))
    settings = load_settings()
    assert settings.mlflow_credentials == Credentials(f"u{SECRET}", f"p{SECRET}", f"t{SECRET}")
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_an_address_is_reported_without_user_password_and_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@mlflow:5000/path?token={SECRET}")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == "MLFLOW_TRACKING_URI=http://mlflow:5000/path: must have no ? and no #"


ENCODE = "FEEDBACK_DATABASE: percent-encode @ / ? # in the user and the password: @ is %40"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"postgresql://u:x@{SECRET}@host/db", ENCODE),
        (f"postgresql://u:{SECRET}/x@host/db", ENCODE),
        (f"postgresql://u:{SECRET}#x@host/db", ENCODE),
        (f"postgresql://u:1?{SECRET}@host/db", ENCODE),
        (f"postgresql://u:x@host/db@{SECRET}", ENCODE),
        (
            f"postgresql://u:x@host:{SECRET}/db",
            "FEEDBACK_DATABASE: it cannot be read as scheme://USER:PASSWORD@",
        ),
        (f"postgresql://u:x {SECRET}@host/db", "FEEDBACK_DATABASE: it cannot be read as"),
        (f"postgresql://u:x@[{SECRET}/db", "FEEDBACK_DATABASE: it cannot be read as"),
        (f"sqlite://{SECRET}/x.db", "FEEDBACK_DATABASE: must be sqlite:///FILE, with three slashes"),
        (f"sqlite:///u:{SECRET}@host/db", "FEEDBACK_DATABASE: the folder of its file is missing: make it"),
        (f"sqlite:///x.db?{SECRET}=1", "FEEDBACK_DATABASE: must be sqlite:///FILE, without a query"),
        (f"sqlite:///{SECRET * 500}/db", "FEEDBACK_DATABASE: the folder of its file is missing: make it"),
    ],
)
def test_an_invalid_database_is_reported_without_its_url(
    monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    monkeypatch.setenv("FEEDBACK_DATABASE", url)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(sentence)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:p%40s%2Fs%23@host:5432/db", "postgresql://user:p:w!$%25@[::1]:5432/db?sslmode=require",
        "postgresql://host/db", "postgresql:///db?host=/run/postgresql", "sqlite:///outcomes.db",
    ],
)  # fmt: skip
def test_valid_databases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.setenv("FEEDBACK_DATABASE", url)
    monkeypatch.setenv("FEEDBACK_KEYS", str(tmp_path))
    settings = load_settings()
    assert settings.feedback_database == url
    assert url not in repr(settings)


@pytest.mark.parametrize("name", ["MODELS_DIR", "FEEDBACK_KEYS"])
def test_a_missing_folder_is_not_named_as_it_may_be_a_secret(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FEEDBACK_DATABASE", "sqlite:///outcomes.db")
    monkeypatch.setenv("FEEDBACK_KEYS", ".")
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"{name} names a folder that does not exist: create it, or name another"


def test_production_without_faults_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert not any(load_settings().faults.active.values())


@pytest.mark.parametrize(
    "more",
    [
        {"ENVIRONMENT": "production", "FEEDBACK_ANONYMOUS": "true"},
        {"ENVIRONMENT": "production", "FEEDBACK_TOKEN_FILE": "/keys/token"},
        {"ENVIRONMENT": "staging"},
    ],
)
def test_production_needs_a_token_unless_it_is_switched_off_on_purpose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, str]
) -> None:
    for name, value in (OUTCOMES | {"FEEDBACK_KEYS": str(tmp_path)} | more).items():
        monkeypatch.setenv(name, value)
    assert load_settings().feedback_database == OUTCOMES["FEEDBACK_DATABASE"]
