"""A candidate beside the served version: which of the two answers a request, and what is counted of both.

A key's place is a hash of it with the installation's salt, so that every replica chooses alike, a share that
grows keeps its keys, and nobody can compute which keys the candidate answers.
"""

from hashlib import blake2s

from bundle.declaration import Declaration
from serving.inference.monitored_model import MonitoredModel
from serving.metrics.vocabulary import LATENCY_BUCKETS, Vocabulary
from serving.request import RequestRecord
from serving.rollout.shadow import Shadow
from serving.setting_groups import RolloutSettings

PLACES = 1 << 32


class VersionCounts:
    """What one of two versions that stand side by side answered, under the same names for every model."""

    def __init__(self, declaration: Declaration, version: str, share: float, vocabulary: Vocabulary) -> None:
        origin = {"model": declaration.name, "version": version}
        self.succeeded, self.refused, self.failed = (
            vocabulary.counter(declaration, "version_requests", outcome=outcome, **origin)
            for outcome in ("success", "rejected", "error")
        )
        self.observe = vocabulary.histogram(declaration, "version_duration", LATENCY_BUCKETS, **origin)
        vocabulary.gauge(declaration, "version_target_share", "livemostrecent", **origin)(share)


class Rollout:
    """Chooses between the served version and its candidate, where that takes a share of the requests.

    A candidate that fails is set aside like any model; until it works again the served version answers.
    """

    def __init__(
        self,
        served: MonitoredModel,
        candidate: MonitoredModel | None,
        settings: RolloutSettings,
        vocabulary: Vocabulary,
    ) -> None:
        declaration, version = served.model.declaration, settings.version
        share = settings.share
        self.served = served
        self.candidate = candidate
        self._below = share * PLACES
        self.header = settings.key_header
        self._key = self.header.lower().encode()
        origin = f"{declaration.name}/{version}/".encode()
        self._begun = blake2s(origin, key=settings.salt, digest_size=4)
        self.shadow = Shadow(served.model, settings, vocabulary) if settings.shadow else None
        self.counts = {
            name: VersionCounts(declaration, name, its_share, vocabulary)
            for name, its_share in ((served.model.version, 1 - share), (version, share))
        }

    def choose(self, record: RequestRecord) -> MonitoredModel:
        """Return the version that answers a request: by its key, or by its id where it has none."""
        candidate = self.candidate
        if candidate is None or not candidate.usable:
            return self.served
        key = record.headers.get(self._key) or record.request_id.encode()
        place = self._begun.copy()
        place.update(key)
        return candidate if int.from_bytes(place.digest(), "big") < self._below else self.served
