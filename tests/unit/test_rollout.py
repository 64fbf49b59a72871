"""Which version a key gets: a secret of the installation decides, so that no client can choose."""

import os
import pickle
from collections.abc import Callable
from hashlib import blake2s
from itertools import count
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from scipy.stats import binomtest

from registry.fetch import FetchedModel
from registry.reference import RegisteredVersion
from serving.app import create_app
from serving.http.routes.predict import PredictionEndpoint
from serving.request import RequestRecord
from serving.settings import Settings, SettingsError, load_settings

PUBLIC_SALT = b"churn/v2/"
SALT = "4f1c9b7de02a8356a1c4f7e9d3b05826"
KEYS = [f"customer-{number}" for number in range(1000)]


@pytest.fixture
def salt(tmp_path: Path) -> Callable[[str], Path]:
    def write(content: str) -> Path:
        file = tmp_path / f"salt-{len(list(tmp_path.iterdir()))}"
        file.write_text(content, encoding="ascii")
        return file

    return write


def chosen(keys: list[str], file: Path | None, percent: float = 10, header: str = "") -> set[str]:
    """Return the keys that a server's candidate answers, sent as request ids or in a header."""
    settings = Settings(
        model=("churn",),
        model_version="v1",
        candidate_version="v2",
        canary_percent=percent,
        canary_salt_file=file,
    )
    prediction = create_app(settings, CollectorRegistry()).prometheus_middleware.direct["/predict"]
    assert isinstance(prediction, PredictionEndpoint)
    assert prediction.rollout
    found = set()
    for key in keys:
        record = RequestRecord("any", {header.encode(): key.encode()}) if header else RequestRecord(key, {})
        if prediction.rollout.choose(record).model.version == "v2":
            found.add(key)
    return found


def is_share(part: int, whole: int, share: float) -> bool:
    return bool(binomtest(part, whole, share).pvalue > 1e-4)


def precomputed(number: int) -> list[str]:
    """Return ids that are in the 10 % by the salt in the source of earlier versions."""
    ids = (f"probe-{place}" for place in count())
    hits = (
        name
        for name in ids
        if int.from_bytes(blake2s(PUBLIC_SALT + name.encode(), digest_size=4).digest(), "big") < 0.1 * 2**32
    )
    return [next(hits) for _ in range(number)]


@pytest.mark.parametrize("header", ["", "x-request-key"])
def test_precomputed_keys_reach_the_candidate_no_more_than_others(
    salt: Callable[[str], Path], header: str
) -> None:
    ids = precomputed(200)
    assert is_share(len(chosen(ids, salt(SALT), header=header)), 200, 0.1)
    assert is_share(len(chosen(ids, None, header=header)), 200, 0.1)


def test_servers_choose_alike_only_with_the_same_salt(salt: Callable[[str], Path]) -> None:
    ours = chosen(KEYS, salt(SALT))
    assert is_share(len(ours), len(KEYS), 0.1)
    assert ours == chosen(KEYS, salt(SALT))
    for other in (salt(SALT[:-1] + "g"), salt(SALT[::-1]), None):
        theirs = chosen(KEYS, other)
        assert is_share(len(theirs), len(KEYS), 0.1)
        assert is_share(len(ours & theirs), len(ours), 0.1)
    assert chosen(KEYS, None) != chosen(KEYS, None)


def test_a_growing_share_keeps_its_keys(salt: Callable[[str], Path]) -> None:
    file = salt(SALT)
    tenth, half, every, none = (chosen(KEYS, file, percent) for percent in (10, 50, 100, 1e-9))
    assert tenth < half < every == set(KEYS)
    assert not none
    assert is_share(len(half), len(KEYS), 0.5)


def test_a_candidate_that_is_already_served_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(model=("churn",), candidate_version="v2", canary_percent=10, shadow=True)
    create_app(settings, CollectorRegistry())  # churn serves v2 by default
    assert "no candidate is tried: it is served already" in caplog.text


def test_workers_get_the_salt_with_the_settings() -> None:
    settings = Settings()
    assert len(settings.canary_salt) == 32
    assert pickle.loads(pickle.dumps(settings)).canary_salt == settings.canary_salt  # noqa: S301
    registered = FetchedModel(Path("a"), "b", "v1", RegisteredVersion("B", "2"))
    assert settings.for_registered(registered).canary_salt == settings.canary_salt
    assert Settings().canary_salt != settings.canary_salt


def test_a_salt_is_read_as_kubernetes_mounts_it_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "salt").write_text(SALT, encoding="ascii")
    (tmp_path / "salt").symlink_to("..data/salt")
    settings = Settings(canary_salt_file=tmp_path / "salt")
    assert settings.canary_salt == blake2s(SALT.encode()).digest()
    assert SALT not in repr(settings)
    assert repr(settings.canary_salt)[2:-1] not in repr(settings)


def make(kind: str, file: Path) -> None:
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case "dangling":
            file.symlink_to("nowhere")
        case "huge":
            with file.open("wb") as opened:
                opened.truncate(1 << 40)
        case "missing":
            pass
        case _:
            file.write_bytes(kind.encode())


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("fifo", "cannot be read: it is not a regular file"),
        ("folder", "cannot be read: it is not a regular file"),
        ("device", "cannot be read: it is not a regular file"),
        ("missing", "cannot be read: No such file or directory"),
        ("dangling", "cannot be read: No such file or directory"),
        ("huge", "cannot be read: it is larger than 4096 bytes"),
        ("", "is shorter than 32 characters: openssl rand -hex 32"),
        (SALT[:31], "is shorter than 32 characters: openssl rand -hex 32"),
        ("0" * 32, "repeats itself, and can be guessed: openssl rand -hex 32"),
        ("ab" * 20, "repeats itself, and can be guessed: openssl rand -hex 32"),
    ],
)
def test_an_invalid_salt_stops_startup_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    file = tmp_path / "salt"
    make(kind, file)
    monkeypatch.setenv("CANARY_SALT_FILE", str(file))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"CANARY_SALT_FILE={file} {reason}")
    assert "ababab" not in str(caught.value).replace(str(file), "")
