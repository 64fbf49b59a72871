"""What a visitor can predict with: each model, and each version that answers under a path."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from bundle.declaration import Declaration
from serving.errors import NotFound
from serving.http.routes.predict import BatchEndpoint, PredictionEndpoint, RowEndpoint
from serving.inference.catalogue import ServedModel


@dataclass(frozen=True)
class Target:
    """A model in the version that is served, or in the one that `version` names."""

    row: RowEndpoint
    batch: BatchEndpoint
    version: str | None

    @property
    def model(self) -> ServedModel:
        return self.row.model

    @property
    def declaration(self) -> Declaration:
        return self.row.model.declaration

    @property
    def choice(self) -> dict[str, str]:
        """What names the target in a query and in a form."""
        return {"model": self.model.name} | ({"version": self.version} if self.version else {})

    @property
    def query(self) -> str:
        return urlencode(self.choice)


class Targets:
    """Every target, the main model's first; one that answers as another does is left out."""

    def __init__(self, endpoints: Iterable[PredictionEndpoint]) -> None:
        by_path = {endpoint.path: endpoint for endpoint in endpoints}
        self._targets: dict[tuple[str, str | None], Target] = {}
        for path, row in by_path.items():
            batch = by_path.get(f"{path}/batch")
            if isinstance(row, RowEndpoint) and isinstance(batch, BatchEndpoint):
                target = Target(row, batch, pinned_version(row))
                self._targets.setdefault((target.model.name, target.version), target)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    @property
    def main(self) -> Target:
        return next(iter(self._targets.values()))

    def choose(self, model: str | None, version: str | None) -> Target:
        """Return the target with these names, by default the main one; NotFound where there is none."""
        target = self._targets.get((model or self.main.model.name, version or None))
        if target is None:
            raise NotFound("No such model or version is served here; choose one of those that are listed.")
        return target


def pinned_version(endpoint: PredictionEndpoint) -> str | None:
    """Return the version that the endpoint's path names; None where the path names the model at most."""
    model = endpoint.model
    unpinned = ("/predict", f"/models/{model.name}/predict")
    return None if endpoint.path in unpinned else model.version
