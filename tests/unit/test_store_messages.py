"""A database's message is reported without its URL's secrets; tests/cluster has a real PostgreSQL."""

from pathlib import Path

import pytest

from serving.feedback.outcomes import StoreError
from serving.feedback.store import Store, make_engine, without
from serving.settings import SettingsError

SECRET = "MARKED-hunter2"  # noqa: S105


def failure(url: str) -> str:
    store = Store(url)
    with pytest.raises(StoreError) as raised:
        store.cells("heart-disease", 0, 1)
    store.close()
    said = str(raised.value)
    assert SECRET not in said
    assert said.isprintable()
    return said


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"postgresql://user:{SECRET}@127.0.0.1:1/db", 'connection to server at "***", port 1 failed'),
        (f"postgresql://user:a%40{SECRET}@127.0.0.1:1/db", 'connection to server at "***", port 1 failed'),
        (f"postgresql://user:x@{SECRET}.invalid/db", "failed to resolve host '***'"),
        (f"postgresql://{SECRET}", "failed to resolve host '***'"),
        (f"postgresql://user:x@127.0.0.1:1/db?sslmode={SECRET}", "***"),
        (f"postgresql://user:x@127.0.0.1:1/db?{SECRET}=1", 'invalid connection option "***"'),
        (f"postgresql://user:x@127.0.0.1:1/db?options=-c%20{SECRET}", "OperationalError"),
        (f"postgresql://user:x@127.0.0.1:1/db?host=/{SECRET}", "failed"),
    ],
)
def test_a_database_that_does_not_answer_is_reported_without_its_url(url: str, sentence: str) -> None:
    assert sentence in failure(url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:x@h/db?plugin={SECRET}",
        f"postgresql://u:x@h:{SECRET}/db",
        SECRET,
        f"mysql+{SECRET}://h/d",
    ],
)
def test_an_unusable_url_is_reported_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"FEEDBACK_DATABASE: this URL cannot be used \(\w+\)") as raised:
        Store(url)
    assert SECRET not in str(raised.value)


def test_a_file_that_cannot_be_opened_is_reported_in_sqlites_words(tmp_path: Path) -> None:
    assert failure(f"sqlite:///{tmp_path}") == "OperationalError: unable to open database file"


def test_url_parts_are_removed_both_decoded_and_encoded() -> None:
    url = make_engine(f"postgresql://api:a%40{SECRET}@db.example/outcomes?sslmode=require", {"a": 1}).url
    said = f"api@db.example a@{SECRET} a%40{SECRET}: the apis of db.example, require"
    assert without(url, said) == "***@*** *** ***: the apis of ***, ***"
