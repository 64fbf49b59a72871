"""A bad entry among the keys stops none of the others, and a removed key neither signs nor verifies."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

import pytest

from serving.errors import StoreUnavailable, ValidationError
from serving.feedback.prediction_ids import id_writer, read_id
from serving.feedback.signing_keys import Keys
from serving.http.response_writer import ResponseWriter
from serving.inference.catalogue import Prediction, ServedModel
from serving.secret_files import MOST_BYTES, SecretError, check_randomness
from serving.settings import SettingsError

TODAY = datetime.now(UTC).date()
SECRET = "a secret of thirty-two characters or more"  # noqa: S105
OTHER = SECRET[::-1]


def day(from_today: int) -> str:
    return str(TODAY + timedelta(days=from_today))


def named(name: str, content: str = SECRET) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def linked(target: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "2020-01-01").symlink_to(target)


Bad = tuple[Callable[[Path], object], str]
"""What puts a bad entry into the folder, and the message about it."""

BAD: dict[str, Bad] = {
    "empty": (named("2020-01-01", ""), "is shorter than 32 characters"),
    "short": (named("2020-01-01", "short"), "is shorter than 32 characters"),
    "white space": (named("2020-01-01", " \n" * 40), "is shorter than 32 characters"),
    "zeros": (named("2020-01-01", "0" * 32), "repeats itself"),
    "NUL": (named("2020-01-01", "\0" * 1000), "repeats itself"),
    "a word": (named("2020-01-01", "password" * 8), "repeats itself"),
    "half and half": (named("2020-01-01", "a" * 20 + "b" * 20), "repeats itself"),
    "huge": (named("2020-01-01", token_hex(MOST_BYTES)), "it is larger than 4096 bytes"),
    "no day": (named("2026-02-30"), "is not named by a day"),
    "no month": (named("2026-13-01"), "is not named by a day"),
    "year 0": (named("0000-01-01"), "is not named by a day"),
    "short form": (named("20260101"), "is not named by a day"),
    "of a week": (named("2026-W01-1"), "is not named by a day"),
    "a copy": (named("2026-01-01~"), "is not named by a day"),
    "no UTF-8": (named("2026\udcff\n"), "is not named by a day"),
    "1969": (named("1969-12-31"), "before 1970-01-01 or after 2149-06-06"),
    "2149": (named("2149-06-07"), "before 1970-01-01 or after 2149-06-06"),
    "year 1": (named("0001-01-01"), "before 1970-01-01 or after 2149-06-06"),
    "dangling": (linked("nowhere"), "cannot be read: No such file or directory"),
    "loop": (linked("2020-01-01"), "cannot be read: Too many levels of symbolic links"),
    "unreadable": (linked("/proc/self/mem"), "cannot be read: Input/output error"),
    "endless": (linked("/dev/zero"), "it is not a regular file"),
    "terminal": (linked("/dev/tty"), "it is not a regular file"),
    "directory": (lambda folder: (folder / "2020-01-01").mkdir(), "it is not a regular file"),
    "pipe": (lambda folder: os.mkfifo(folder / "2020-01-01"), "it is not a regular file"),
}
EACH_BAD = pytest.mark.parametrize("bad", BAD.values(), ids=BAD)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with yesterday's key."""
    folder = tmp_path / "keys"
    folder.mkdir()
    named(day(-1))(folder)
    return folder


@pytest.fixture
def answer(heart: ServedModel) -> Prediction:
    return heart.predict_row(heart.encode_row(heart.declaration.example))


def reported(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, Any]]:
    """Return level, message and faults of every line since the last call."""
    found = [
        (line.levelno, line.getMessage(), line.__dict__["fields"].get("faults")) for line in caplog.records
    ]
    caplog.clear()
    return found


@EACH_BAD
def test_startup_with_a_good_entry_works_and_reports_the_bad_one(
    folder: Path, caplog: pytest.LogCaptureFixture, bad: Bad
) -> None:
    put, sentence = bad
    put(folder)
    keys = Keys(folder)
    assert keys.signing
    assert keys.signing.secret == SECRET.encode()
    ((level, message, faults),) = reported(caplog)
    assert (level, message) == (logging.ERROR, "keys cannot be used")
    assert sentence in faults
    assert faults.isascii()
    assert faults.isprintable()
    assert SECRET not in faults


@EACH_BAD
def test_startup_with_only_a_bad_entry_fails_with_a_sentence(tmp_path: Path, bad: Bad) -> None:
    put, sentence = bad
    put(tmp_path)
    with pytest.raises(SettingsError, match=f"holds no key of a day up to today.*{sentence}.*openssl rand"):
        Keys(tmp_path)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (None, "the folder of keys cannot be read: No such file"),
        ({}, "holds no key of a day up to today"),
        ({"2148-01-01": SECRET}, "holds no key of a day up to today"),
        ({"README": SECRET, "..data": SECRET, "key": SECRET}, "holds no key of a day up to today"),
    ],
)
def test_a_folder_without_a_signing_key_is_reported_in_a_sentence(
    tmp_path: Path, files: dict[str, str] | None, sentence: str
) -> None:
    folder = tmp_path / "keys"
    if files is not None:
        folder.mkdir()
    for name, content in (files or {}).items():
        named(name, content)(folder)
    with pytest.raises(SettingsError, match=sentence):
        Keys(folder)


@EACH_BAD
def test_a_bad_entry_does_not_stop_revocation_and_is_reported_once(
    folder: Path, heart: ServedModel, answer: Prediction, caplog: pytest.LogCaptureFixture, bad: Bad
) -> None:
    put, sentence = bad
    keys = Keys(folder)
    write = id_writer(keys, heart)
    old = write(answer)
    read_id(old, keys, days=1)
    put(folder)
    named(day(-1), OTHER)(folder)
    for _ in range(3):
        keys.refresh()
    with pytest.raises(ValidationError, match="was not made by this installation, or its key is gone"):
        read_id(old, keys, days=1)
    read_id(write(answer), keys, days=1)
    ((level, _, faults),) = reported(caplog)
    assert level == logging.ERROR
    assert sentence in faults
    assert len(keys.faults) == 1


def test_a_repaired_entry_is_reported_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    named("2020-01-01", "")(folder)
    keys = Keys(folder)
    named("2020-01-01", OTHER)(folder)
    for _ in range(3):
        keys.refresh()
    assert [message for _, message, _ in reported(caplog)] == ["keys cannot be used", "all keys can be used"]
    assert keys.faults == []
    for _ in range(3):
        keys.refresh()
    assert reported(caplog) == []


def nothing_left(folder: Path) -> None:
    (folder / day(-1)).unlink()


def only_a_future_key(folder: Path) -> None:
    (folder / day(-1)).rename(folder / day(1))


def no_folder(folder: Path) -> None:
    nothing_left(folder)
    folder.rmdir()


def no_longer_a_folder(folder: Path) -> None:
    no_folder(folder)
    folder.write_text("", encoding="utf-8")


def emptied(folder: Path) -> None:
    named(day(-1), "")(folder)


@pytest.mark.parametrize("revoke", [nothing_left, only_a_future_key, no_folder, no_longer_a_folder, emptied])
def test_predictions_have_no_id_while_no_key_can_sign(
    folder: Path, heart: ServedModel, answer: Prediction, revoke: Callable[[Path], None]
) -> None:
    keys = Keys(folder)
    writer = ResponseWriter(heart, id_writer(keys, heart))
    old = id_writer(keys, heart)(answer)
    assert '"prediction_id":"' in writer.row(answer, "a")
    revoke(folder)
    keys.refresh()
    assert len(keys.faults) >= 1
    assert "prediction_id" not in writer.row(answer, "a")
    assert "prediction_id" not in writer.batch([answer], "a")
    with pytest.raises(ValidationError if revoke is only_a_future_key else StoreUnavailable):
        read_id(old, keys, days=1)
    if folder.is_file():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    named(day(0), OTHER)(folder)
    keys.refresh()
    assert '"prediction_id":"' in writer.row(answer, "a")
    with pytest.raises(ValidationError):
        read_id(old, keys, days=1)


def test_a_new_writer_does_not_sign_with_a_removed_key(
    folder: Path, heart: ServedModel, answer: Prediction
) -> None:
    keys = Keys(folder)
    write = id_writer(keys, heart)
    nothing_left(folder)
    keys.refresh()
    assert write(answer) == ""


def test_many_bad_entries_are_counted_and_a_few_are_named(folder: Path) -> None:
    for number in range(1000, 2000):
        named(f"{number}-99-99")(folder)
    keys = Keys(folder)
    assert len(keys.faults) == 1000
    nothing_left(folder)
    with pytest.raises(SettingsError, match="; and 996 more;") as raised:
        Keys(folder)
    assert len(str(raised.value)) < 1000


def test_random_secrets_pass_in_any_encoding() -> None:
    random = Random(0)
    for _ in range(2000):
        for written in (random.randbytes(32), random.randbytes(16).hex().encode()):
            check_randomness(written)
    for word in ("0", "ab", "abcdefgh", "0123456789"):
        for length in range(32, MOST_BYTES):
            with pytest.raises(SecretError):
                check_randomness((word * length)[:length].encode())
