"""A canary: chooses which of two versions answers a request, and counts the responses of both.

The version depends on a hash of the request's key with the installation's salt. So every replica chooses
alike, a growing share keeps its keys, and nobody outside can compute which keys the candidate answers.
"""

from hashlib import blake2s

from bundle.concepts import LATENCY_BUCKETS, VERSION_DURATION, VERSION_REQUESTS, VERSION_TARGET_SHARE
from bundle.declaration import Declaration
from serving.inference.monitored_model import MonitoredModel
from serving.metrics.vocabulary import Vocabulary
from serving.request import RequestRecord
from serving.rollout.shadow import Shadow
from serving.setting_groups import RolloutSettings

HASHES = 1 << 32


class VersionCounts:
    """Counts the responses of one of two versions, under the same metric names for every model."""

    def __init__(self, declaration: Declaration, version: str, share: float, vocabulary: Vocabulary) -> None:
        origin = {"model": declaration.name, "version": version}
        self.count_success, self.count_rejected, self.count_error = (
            vocabulary.counter(declaration, VERSION_REQUESTS, outcome=outcome, **origin)
            for outcome in ("success", "rejected", "error")
        )
        self.observe_duration = vocabulary.histogram(declaration, VERSION_DURATION, LATENCY_BUCKETS, **origin)
        vocabulary.gauge(declaration, VERSION_TARGET_SHARE, **origin)(share)


class Rollout:
    """Chooses between the served version and its candidate, which answers a target share of the requests.

    While the candidate is unavailable the served version answers all of them.
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
        self._below = share * HASHES
        self.header = settings.key_header
        self._key = self.header.lower().encode()
        origin = f"{declaration.name}/{version}/".encode()
        self._salted_hash = blake2s(origin, key=settings.salt, digest_size=4)
        self.shadow = Shadow(served.model, settings, vocabulary) if settings.shadow else None
        self.counts = {
            name: VersionCounts(declaration, name, target_share, vocabulary)
            for name, target_share in ((served.model.version, 1 - share), (version, share))
        }

    def choose(self, record: RequestRecord) -> MonitoredModel:
        """Return the version that answers a request: by its key, or by its request id where it has no key."""
        candidate = self.candidate
        if candidate is None or not candidate.available:
            return self.served
        key = record.headers.get(self._key) or record.request_id.encode()
        key_hash = self._salted_hash.copy()
        key_hash.update(key)
        return candidate if int.from_bytes(key_hash.digest(), "big") < self._below else self.served
