"""`make base-image` against a real registry: what it writes, and what it says where it cannot."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT, free_port
from tests.registry import Registry, running_registry
from tools.base_image import DOCKERFILES, TAG, BaseImageError, index_digest, pinned, renew

REPOSITORY, VERSION = f"library/{TAG}".split(":")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in DOCKERFILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    return tmp_path


def test_the_pin_follows_the_tag_in_every_dockerfile_and_changes_nothing_else(
    registry: Registry, checkout: Path
) -> None:
    before = [(checkout / name).read_text() for name in DOCKERFILES]
    digest = registry.push(REPOSITORY, VERSION, ("amd64", "arm64"))
    said = renew(checkout, registry.address, check=False)
    assert said == f"Dockerfile, compose/churn/mlflow/Dockerfile: now {digest}"
    assert set(pinned(checkout).values()) == {f"{TAG}@{digest}"}
    for name, text in zip(DOCKERFILES, before, strict=True):
        after = (checkout / name).read_text().splitlines()
        differing = [new for new, old in zip(after, text.splitlines(), strict=True) if new != old]
        assert differing == [f"ARG PYTHON_IMAGE={TAG}@{digest}"]
    assert renew(checkout, registry.address, check=False) == f"{TAG} is still {digest}"


def test_the_check_fails_as_soon_as_the_tag_has_moved_and_writes_nothing(
    registry: Registry, checkout: Path
) -> None:
    registry.push(REPOSITORY, VERSION, ("amd64",))
    renew(checkout, registry.address, check=False)
    assert "is still" in renew(checkout, registry.address, check=True)
    moved = registry.push(REPOSITORY, VERSION, ("amd64", "arm64", "s390x"))
    before = pinned(checkout)
    with pytest.raises(BaseImageError, match=f"is now {moved}: run make base-image"):
        renew(checkout, registry.address, check=True)
    assert pinned(checkout) == before


def test_an_image_of_one_platform_is_no_base(registry: Registry) -> None:
    registry.push_image("library/alone", "1")
    with pytest.raises(BaseImageError, match=r"alone:1 of .*, and no index of several platforms"):
        index_digest(registry.address, "alone:1")


def test_a_tag_that_does_not_exist_is_said_in_a_sentence(registry: Registry) -> None:
    with pytest.raises(BaseImageError, match=r"manifests/missing was answered with 404; check the tag"):
        index_digest(registry.address, "python:missing")


def test_a_registry_that_does_not_answer_is_said_in_a_sentence(checkout: Path) -> None:
    port = free_port()
    with pytest.raises(BaseImageError, match=f"127.0.0.1:{port} cannot be asked .* where it is reachable"):
        renew(checkout, f"http://127.0.0.1:{port}", check=False)


def test_a_dockerfile_without_the_line_is_named(registry: Registry, checkout: Path) -> None:
    registry.push(REPOSITORY, VERSION, ("amd64",))
    (checkout / "Dockerfile").write_text("FROM python:3.13-slim\n")
    with pytest.raises(BaseImageError, match="has no line ARG PYTHON_IMAGE"):
        renew(checkout, registry.address, check=False)
