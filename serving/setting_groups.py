"""The settings that each part of the server reads, made once by serving/settings.py.

A part gets its group alone: what it depends on stands in its signature.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult

PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
"""What a proxy may put before every path, such as /api."""


@dataclass(frozen=True)
class ModelSettings:
    """Which versions are loaded. `threshold`, where set, replaces that of the bundle."""

    names: tuple[str, ...]
    """The main model first."""

    folder: Path
    version: str | None
    threshold: float | None
    candidate: str | None
    candidate_in_process: bool
    """Whether this process answers with the candidate; a shadow's runs in one of its own."""

    one_version_only: bool
    """Whether the other versions that a model declares stay out: a registered version stands for itself."""


@dataclass(frozen=True)
class RolloutSettings:
    """The candidate beside the served version; `share` of requests, 0 to 1, for a canary."""

    models_folder: Path
    version: str
    share: float
    key_header: str
    salt: bytes
    shadow: bool
    fault_file: Path | None


@dataclass(frozen=True)
class FeedbackSettings:
    """Where true labels go, and who may report them: the bearers of a token, or anybody."""

    database: str
    keys: Path
    token_file: Path | None
    days: int
    """How long a prediction id is accepted."""

    window_days: int
    """Of how many days predictions count in the quality that is shown."""

    maturity_days: int
    """How old a prediction is before its outcome counts, so that late outcomes are among them."""


@dataclass(frozen=True)
class PrometheusSettings:
    """Where a Prometheus answers, and which labels all that belongs to this release has there."""

    address: SplitResult
    matchers: tuple[str, ...]


@dataclass(frozen=True)
class ConnectionLimits:
    """What the connections of a process may hold: their number, seconds to wait for a client, and bytes."""

    most: int
    write_seconds: float
    head_seconds: float
    buffered_bytes: int


@dataclass(frozen=True)
class RequestLimits:
    """What one request may cost, and how many may be in flight."""

    body_bytes: int
    body_seconds: float
    batch_rows: int
    active_requests: int
    queue_seconds: float
    """How long large requests wait while they come faster than they can be answered."""


@dataclass(frozen=True)
class FaultSettings:
    """Faults that are injected on purpose, for demonstrations and tests; rates are 0 to 1."""

    error_rate: float
    simulated_error_rate: float
    latency_seconds: float
    engine_file: Path | None
    candidate_file: Path | None
    seed: int

    @property
    def strengths(self) -> Mapping[str, float]:
        """The strength of every fault by name, 0 where it is off."""
        return {
            "error_rate": self.error_rate,
            "simulated_error_rate": self.simulated_error_rate,
            "latency_seconds": self.latency_seconds,
            "engine_file": float(self.engine_file is not None),
            "candidate_file": float(self.candidate_file is not None),
        }

    @property
    def active(self) -> Mapping[str, float]:
        return {name: strength for name, strength in self.strengths.items() if strength}
