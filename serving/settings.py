"""Settings from environment variables of the same names in capitals; docs/settings.md is the reference.

Any of them may hold a secret, by design or by mistake. A message therefore shows a value only if it is a
number, or an address, without user, password and query.
"""

import os
import re
from functools import partial
from hashlib import blake2s
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from secrets import token_bytes
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bundle.errors import printable
from registry.address import http_address, read_address, shown
from registry.credentials import NOBODY, VARIABLES, Credentials, read_credentials
from registry.fetch import FetchedModel
from registry.reference import FORMS, Reference, RegisteredVersion, parse_reference
from serving.secret_files import SecretError, named, read_secret
from serving.setting_groups import (
    PREFIX,
    ConnectionLimits,
    FaultSettings,
    FeedbackSettings,
    ModelSettings,
    PrometheusSettings,
    RequestLimits,
    RolloutSettings,
)

PROJECT = Path(__file__).resolve().parent.parent

VERSION = r"^v[1-9][0-9]*$"
MODEL_FOLDER = re.compile(r"[a-z][a-z0-9-]*")
FOLDERS = ("models_dir", "feedback_keys")
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\x00-\x1f]|\\["\\])*"'
ORIGIN = re.compile(
    r"(?!http://[^/]*:80$|https://[^/]*:443$)[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)
MOST_DIGITS = 10
Rate = Annotated[float, Field(ge=0, le=1)]

MAPPED_BITS = 96
"""Bits of an IPv6 address before the IPv4 address that is mapped into it."""


class SettingsError(Exception):
    """The environment is invalid: one sentence for each variable."""


class ServerSettings(BaseSettings):
    """What every server of this project reads: where it listens, what it logs, and its models' folders."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    host: Annotated[str, Field(pattern=r"^[\w.:%-]+$")] = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    model: Annotated[tuple[str, ...], NoDecode] = ("heart-disease",)
    models_dir: Path = PROJECT / "models"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    max_connections: int = Field(default=512, ge=8, le=100_000)
    head_timeout_seconds: float = Field(default=10, ge=1, le=600)
    write_timeout_seconds: float = Field(default=10, ge=1, le=600)
    max_buffered_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024)
    keep_alive_seconds: int = Field(default=75, ge=1, le=86_400)
    drain_seconds: float = Field(default=10, ge=0, le=600)

    @field_validator("model", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split(value) if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(MODEL_FOLDER.fullmatch(name) or parse_reference(name) for name in value):
            raise ValueError(f"must name folders (a-z, 0-9, -), or a registered version: MODEL={FORMS}")
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _log_lower(cls, value: object) -> object:
        return lower(value)

    @property
    def connections(self) -> ConnectionLimits:
        return ConnectionLimits(
            most=self.max_connections,
            write_seconds=self.write_timeout_seconds,
            head_seconds=self.head_timeout_seconds,
            buffered_bytes=self.max_buffered_bytes,
        )

    @model_validator(mode="after")
    def _serves(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError(
                f"METRICS_PORT={self.metrics_port} is the same as PORT: choose another, or unset it"
            )
        if not self.model or len(set(self.model)) != len(self.model):
            raise ValueError("MODEL must name at least one model, and each only once")
        return self


class Settings(ServerSettings):
    """What the prediction API reads. Its parts get the groups that they need, never the whole."""

    environment: Literal["development", "staging", "production"] = "development"
    console: bool = True
    prometheus_url: str | None = Field(default=None, repr=False)
    prometheus_labels: str = ""
    root_path: str = ""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    workers: int = Field(default=1, ge=1, le=64)
    model_version: Annotated[str, Field(pattern=VERSION)] | None = None
    mlflow_tracking_uri: str | None = Field(default=None, repr=False)
    mlflow_tracking_username: str | None = Field(default=None, repr=False)
    mlflow_tracking_password: str | None = Field(default=None, repr=False)
    mlflow_tracking_password_file: Path | None = None
    mlflow_tracking_token: str | None = Field(default=None, repr=False)
    mlflow_tracking_token_file: Path | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)
    candidate_version: Annotated[str, Field(pattern=VERSION)] | None = None
    canary_percent: float = Field(default=0, ge=0, le=100)
    canary_paused: bool = False
    canary_key_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Request-Key"
    canary_salt_file: Path | None = None
    shadow: bool = False
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_batch_rows: int = Field(default=1000, ge=1, le=100_000)
    max_active_requests: int = Field(default=1000, ge=1)
    max_queue_seconds: float = Field(default=0.01, gt=0, le=600)
    body_timeout_seconds: float = Field(default=10, gt=0, le=600)
    probe_seconds: float = Field(default=30, gt=0, le=3600)
    feedback_database: str | None = Field(default=None, repr=False)
    feedback_keys: Path | None = None
    feedback_token_file: Path | None = None
    feedback_anonymous: bool = False
    feedback_days: int = Field(default=90, ge=1, le=3650)
    feedback_window_days: int = Field(default=30, ge=1, le=3650)
    feedback_maturity_days: int = Field(default=0, ge=0, le=3650)
    fault_error_rate: Rate = 0
    fault_simulated_error_rate: Rate = 0
    fault_latency_seconds: float = Field(default=0, ge=0, le=60)
    fault_engine_file: Path | None = None
    fault_candidate_file: Path | None = None
    fault_seed: int = 0

    _fetched: RegisteredVersion | None = PrivateAttr(default=None)
    _mlflow_credentials: Credentials = PrivateAttr(default=NOBODY)
    _canary_salt: bytes = PrivateAttr(default_factory=partial(token_bytes, 32))

    @property
    def registered(self) -> Reference | None:
        """The registered version that is named; None where all models are folders."""
        found = [reference for name in self.model if (reference := parse_reference(name))]
        return found[0] if found else None

    @property
    def fetched(self) -> RegisteredVersion | None:
        """The registered version that was fetched, and is one of the folders now."""
        return self._fetched

    def for_registered(self, fetched: FetchedModel) -> Self:
        """Return these settings for a registered version that was fetched."""
        names = {"models_dir": fetched.folder, "model": (fetched.model,), "model_version": fetched.version}
        copy = self.model_copy(update=names)
        copy._fetched = fetched.registered  # noqa: SLF001
        return copy

    @property
    def mlflow_credentials(self) -> Credentials:
        """Who asks the MLflow server."""
        return self._mlflow_credentials

    @property
    def canary_salt(self) -> bytes:
        """The salt of the canary's hash: 32 bytes, from CANARY_SALT_FILE if set, else random for this start.

        Workers get it with these settings.
        """
        return self._canary_salt

    @property
    def canary_share(self) -> float:
        """The share of requests that the candidate answers, 0 to 1."""
        return 0 if self.canary_paused else self.canary_percent / 100

    @property
    def models(self) -> ModelSettings:
        return ModelSettings(
            names=self.model,
            folder=self.models_dir,
            version=self.model_version,
            threshold=self.threshold,
            candidate=self.candidate_version,
            candidate_in_process=self.canary_share > 0,
            one_version_only=self._fetched is not None,
        )

    @property
    def rollout(self) -> RolloutSettings | None:
        """What a candidate is tried with; None without one."""
        if self.candidate_version is None:
            return None
        return RolloutSettings(
            models_folder=self.models_dir,
            version=self.candidate_version,
            share=self.canary_share,
            key_header=self.canary_key_header,
            salt=self.canary_salt,
            shadow=self.shadow,
            fault_file=self.fault_candidate_file,
        )

    @property
    def feedback(self) -> FeedbackSettings | None:
        """How true labels are taken; None where they are not."""
        if self.feedback_database is None or self.feedback_keys is None:
            return None
        return FeedbackSettings(
            database=self.feedback_database,
            keys=self.feedback_keys,
            token_file=self.feedback_token_file,
            days=self.feedback_days,
            window_days=self.feedback_window_days,
            maturity_days=self.feedback_maturity_days,
        )

    @property
    def prometheus(self) -> PrometheusSettings | None:
        """Which Prometheus the console's live page asks; None where it asks none."""
        if self.prometheus_url is None:
            return None
        return PrometheusSettings(
            address=http_address(self.prometheus_url), matchers=label_matchers(self.prometheus_labels)
        )

    @property
    def limits(self) -> RequestLimits:
        return RequestLimits(
            body_bytes=self.max_body_bytes,
            body_seconds=self.body_timeout_seconds,
            batch_rows=self.max_batch_rows,
            active_requests=self.max_active_requests,
            queue_seconds=self.max_queue_seconds,
        )

    @property
    def faults(self) -> FaultSettings:
        return FaultSettings(
            error_rate=self.fault_error_rate,
            simulated_error_rate=self.fault_simulated_error_rate,
            latency_seconds=self.fault_latency_seconds,
            engine_file=self.fault_engine_file,
            candidate_file=self.fault_candidate_file,
            seed=self.fault_seed,
        )

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not PREFIX.fullmatch(value):
            raise ValueError(
                "must be a path such as /api or /teams/heart: it begins with a slash, does not end with one, "
                "and has letters, digits and . _ ~ - between slashes"
            )
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        try:
            return tuple(peers(network) for network in split(value)) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(
                "must be addresses or networks, separated by commas, such as 10.0.0.7 or 10.244.0.0/16"
            ) from None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        origins = split(value) if isinstance(value, str) else value
        if isinstance(origins, tuple) and not all(ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError(
                "must be origins as browsers name them, separated by commas, such as https://app.example.org "
                "or http://localhost:3000: in lower case, without a path, a port that is the default, or *"
            )
        return origins

    @field_validator("mlflow_tracking_uri", "prometheus_url")
    @classmethod
    def _server(cls, value: str | None) -> str | None:
        if value is not None:
            http_address(value)
        return value

    @field_validator("prometheus_labels")
    @classmethod
    def _release(cls, value: str) -> str:
        label_matchers(value)
        return value

    @field_validator("feedback_database")
    @classmethod
    def _database(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, _, rest = value.partition("://")
        if scheme not in ("sqlite", "postgresql") or not rest.strip("/"):
            raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
        if scheme == "sqlite" and "?" in rest:
            raise ValueError("must be sqlite:///FILE, without a query")
        if scheme == "postgresql":
            read_address(value)
        elif not rest.startswith("/"):
            raise ValueError("must be sqlite:///FILE, with three slashes before the file")
        elif not os.path.isdir(os.path.dirname(rest[1:]) or "."):  # noqa: PTH112, PTH120  # never raise
            raise ValueError("the folder of its file is missing: make it")
        return value

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_lower(cls, value: object) -> object:
        return lower(value)

    @model_validator(mode="after")
    def _mlflow_user(self) -> Self:
        self._mlflow_credentials = read_credentials({name: getattr(self, name.lower()) for name in VARIABLES})
        return self

    @model_validator(mode="after")
    def _salted(self) -> Self:
        if self.canary_salt_file:
            try:
                self._canary_salt = blake2s(read_secret(self.canary_salt_file)).digest()
            except SecretError as error:
                raise ValueError(f"{named('CANARY_SALT_FILE', self.canary_salt_file)} {error}") from None
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.registered and (len(self.model) > 1 or self.model_version):
            raise ValueError(
                "a registered model is served alone, without MODEL_VERSION: "
                "MODEL=models:/name/number or models:/name@alias"
            )
        if self.registered and not self.mlflow_tracking_uri:
            raise ValueError("MODEL=models:/... needs MLFLOW_TRACKING_URI, such as http://127.0.0.1:5001")
        if len(self.model) > 1 and (self.model_version or self.threshold is not None):
            raise ValueError("MODEL_VERSION and THRESHOLD only make sense with a single MODEL")
        if self.candidate_version and (len(self.model) > 1 or self.registered):
            raise ValueError("CANDIDATE_VERSION only makes sense with a single MODEL that is a folder")
        if (self.canary_percent or self.shadow) and not self.candidate_version:
            raise ValueError("CANARY_PERCENT and SHADOW need CANDIDATE_VERSION, such as v2")
        if self.max_buffered_bytes < self.max_body_bytes:
            raise ValueError(
                f"MAX_BUFFERED_BYTES={self.max_buffered_bytes} is less than "
                f"MAX_BODY_BYTES={self.max_body_bytes}: bodies of that size would never fit"
            )
        if self.environment == "production" and self.faults.active:
            raise ValueError("FAULT_ settings inject failures and are rejected with ENVIRONMENT=production")
        return self

    @model_validator(mode="after")
    def _outcomes(self) -> Self:
        if (self.feedback_database is None) != (self.feedback_keys is None):
            raise ValueError("FEEDBACK_DATABASE and FEEDBACK_KEYS (a folder) are set together, or neither")
        if self.feedback_token_file and self.feedback_database is None:
            raise ValueError("FEEDBACK_TOKEN_FILE needs FEEDBACK_DATABASE, where outcomes are kept")
        if self.feedback_token_file and self.feedback_anonymous:
            raise ValueError("FEEDBACK_TOKEN_FILE and FEEDBACK_ANONYMOUS contradict each other: set one")
        anybody = self.feedback_database and not (self.feedback_token_file or self.feedback_anonymous)
        if self.environment == "production" and anybody:
            raise ValueError(
                "anybody could report outcomes: set FEEDBACK_TOKEN_FILE, the file of a token that clients "
                "send, or FEEDBACK_ANONYMOUS=true if you mean it, for ENVIRONMENT=production asks for one"
            )
        return self


def label_matchers(text: str) -> tuple[str, ...]:
    """Return labels with their values, each as PromQL reads it; ValueError says how they are written."""
    if not re.fullmatch(rf"\s*({LABEL}\s*(,\s*{LABEL}\s*)*)?", text):
        raise ValueError('must be labels with their values, such as namespace="mlops", job="heart"')
    labels = tuple(found[0] for found in re.finditer(LABEL, text))
    if not all(label.isprintable() for label in labels):
        raise ValueError("must have values that can be printed: this one cannot be shown on a page")
    if any(label.startswith("__name__=") for label in labels):
        raise ValueError("must name labels of a release: __name__ is what a metric is called")
    return labels


def split(value: str) -> tuple[str, ...]:
    """Return the parts between commas, without blanks and empty ones."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def peers(network: str) -> IPv4Network | IPv6Network:
    """Return a network as the addresses of peers are compared: IPv4 is never mapped into IPv6."""
    named = ip_network(network)
    mapped = named.network_address.ipv4_mapped if isinstance(named, IPv6Network) else None
    bits = named.prefixlen - MAPPED_BITS
    return IPv4Network((mapped, bits)) if mapped and bits >= 0 else named


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Kind = TypeVar("Kind", bound=ServerSettings)


def load_settings() -> Settings:
    """Read the environment; SettingsError says for each variable what is wrong with it."""
    return read_settings(Settings)


def read_settings(kind: type[Kind]) -> Kind:
    """Read the environment for one kind of settings, as load_settings does."""
    try:
        settings = kind()
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(fault)) for fault in error.errors())) from None
    for name in FOLDERS:
        if name not in settings.model_fields_set:
            continue
        if not os.path.isdir(getattr(settings, name)):  # noqa: PTH112  # does not raise
            raise SettingsError(
                f"{name.upper()} names a folder that does not exist: create it, or name another"
            )
    return settings


def _sentence(fault: dict[str, object]) -> str:
    location = fault["loc"]
    message = str(fault["msg"]).removeprefix("Value error, ")
    if isinstance(location, tuple) and location:
        name = str(location[0])
        if fault["type"] == "missing":  # its input is every other setting
            return f"{name.upper()} must be set"
        return f"{name.upper()}{_shown(name, fault['input'])}: {message}"
    return message


def _shown(name: str, value: object) -> str:
    """Return '=value' where a value can be told without a secret."""
    try:
        if name in ("mlflow_tracking_uri", "prometheus_url"):
            return f"={printable(shown(read_address(str(value))))}"
        float(str(value))
    except ValueError:
        return ""
    return f"={value}" if len(str(value)) <= MOST_DIGITS else ""
